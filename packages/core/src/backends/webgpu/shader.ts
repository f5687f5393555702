/**
 * Joins a kernel of `wgsl/kernels` with one of its variants and options, as `wgsl/variants.json` lists them: the only
 * source of binding layouts, parameter structs and permitted values. Pure text work: no device is needed.
 */
import { manifest, sources } from './kernels.gen.ts';

export type OptionValue = string | number | boolean;
export type Options = Readonly<Record<string, OptionValue>>;

/** A way of computing a kernel, and what an adapter must have for it. */
export interface Variant {
  readonly features?: readonly string[];
  /** WGSL language features. */
  readonly language?: readonly string[];
  /** Constants of this variant; `WG` is the number of invocations of a workgroup. */
  readonly set: Readonly<Record<string, string | number>>;
  /** Options that must not be above these. */
  readonly maximum?: Readonly<Record<string, number>>;
}

export interface Kernel {
  /** `name: type` (read) or `name: type write`, in the order of their binding numbers. */
  readonly bindings: readonly string[];
  /** `name` (u32) or `name: type`, in order. */
  readonly params: readonly string[];
  /** Whether it reads the run's uniform {@link RUN_FIELDS}. */
  readonly run?: boolean;
  /** What a command asks for: every combination must work in every variant. */
  readonly options: Readonly<Record<string, readonly OptionValue[]>>;
  readonly variants: Readonly<Record<string, Variant>>;
}

export type KernelName = keyof typeof manifest;

export const kernels: Readonly<Record<KernelName, Kernel>> = manifest;
export const kernelNames = Object.keys(manifest) as KernelName[];

/** What changes from run to run: one uniform of 32-bit fields for all kernels. */
export const RUN_FIELDS = [
  'pos',
  'top_k',
  'top_p: f32',
  'min_p: f32',
  'temperature: f32',
  'penalty: f32',
  'draw: f32',
] as const;

export interface Shader {
  /** As `linear_gemv_q4_subgroup`; unique for its code. */
  readonly name: string;
  readonly code: string;
  readonly features: readonly string[];
  readonly constants: Readonly<Record<string, string | number>>;
}

/** The variant `name` of a kernel. */
export function variantOf(kernel: KernelName, name: string): Variant {
  const variant = kernels[kernel].variants[name];
  if (!variant) throw new Error(`kernel ${kernel} has no variant ${name}`);
  return variant;
}

/** Whether a variant can do these options at all. */
export function permits(variant: Variant, options: Options): boolean {
  return Object.entries(variant.maximum ?? {}).every(([name, most]) => Number(options[name] ?? 0) <= most);
}

/** The WGSL of one variant of a kernel. A name that nothing declares is an error. */
export function compose(kernel: KernelName, variantName: string, options: Options): Shader {
  const { bindings, params, run, options: permitted } = kernels[kernel];
  const variant = variantOf(kernel, variantName);
  for (const [name, values] of Object.entries(permitted)) {
    if (!values.includes(options[name]))
      throw new Error(`${kernel}: ${name} can't be ${String(options[name])}`);
  }
  const symbols: Record<string, OptionValue> = { ...variant.set };
  for (const name of Object.keys(options)) {
    if (!(name in permitted)) throw new Error(`${kernel} has no option ${name}`);
    symbols[name] = options[name];
  }
  const features = variant.features ?? [];
  const enable: Readonly<Record<string, string>> = { 'shader-f16': 'f16', subgroups: 'subgroups' };
  const lines = features.map((feature) => `enable ${enable[feature]};`);
  lines.push(struct('Params', params), '@group(0) @binding(0) var<uniform> p: Params;');
  let at = 1;
  if (run) {
    lines.push(struct('Run', RUN_FIELDS), `@group(0) @binding(${at++}) var<uniform> run: Run;`);
  }
  for (const binding of bindings) {
    const [name, type, write] = fieldsOf(binding);
    lines.push(
      `@group(0) @binding(${at++}) var<storage, ${write ? 'read_write' : 'read'}> ${name}: array<${type}>;`,
    );
  }
  for (const [name, value] of Object.entries(symbols)) {
    if (typeof value === 'number') lines.push(`const ${name}: u32 = ${value}u;`);
  }
  const body = preprocess(`kernels/${kernel}.wgsl`, symbols, new Set());
  const shown = Object.entries(options).filter(([, value]) => value !== 'none' && value !== false);
  const suffix = shown.map(([name, value]) => (value === true ? name.toLowerCase() : `_${value}`.slice(1)));
  const name = [kernel, ...suffix, variantName].join('_');
  return { name, code: `${lines.join('\n')}\n${body}`, features, constants: variant.set };
}

/** `name`, `type` and whether it is written. */
export function fieldsOf(declaration: string): [name: string, type: string, write: boolean] {
  const [name, rest = 'u32'] = declaration.split(': ');
  const write = rest.endsWith(' write');
  return [name, write ? rest.slice(0, -' write'.length) : rest, write];
}

function struct(name: string, fields: readonly string[]): string {
  const lines = fields.map((field) => fieldsOf(field)).map(([field, type]) => `  ${field}: ${type},`);
  return `struct ${name} {\n${lines.join('\n')}\n}`;
}

/**
 * `#include "shared/x.wgsl"` (once), `#if A == b && !C`, `#elif`, `#else`, `#endif`. Conditions compare declared names with
 * literals; an undeclared name is an error, so that a misspelt option can't choose a branch in silence.
 */
function preprocess(path: string, symbols: Readonly<Record<string, OptionValue>>, seen: Set<string>): string {
  const source = (sources as Readonly<Record<string, string>>)[path];
  if (source === undefined) throw new Error(`there is no wgsl/${path}`);
  const out: string[] = [];
  // Per open #if: whether its current branch is taken, and whether one was taken before.
  const open: { on: boolean; done: boolean }[] = [];
  source.split('\n').forEach((line, i) => {
    const [, directive, rest = ''] = /^\s*#(\w+)\s*(.*?)\s*$/.exec(line) ?? [];
    const active = open.every(({ on }) => on);
    const test = (): boolean => holds(rest, symbols, `${path}:${i + 1}`);
    const top = open.at(-1);
    switch (directive) {
      case undefined:
        if (active) out.push(line);
        return;
      case 'include': {
        const file = rest.slice(1, -1);
        if (!active || seen.has(file)) return;
        seen.add(file);
        out.push(preprocess(file, symbols, seen));
        return;
      }
      case 'if': {
        const on = active && test();
        open.push({ on, done: on });
        return;
      }
      case 'elif':
      case 'else':
        if (!top) break;
        top.on = !top.done && open.slice(0, -1).every(({ on }) => on) && (directive === 'else' || test());
        top.done ||= top.on;
        return;
      case 'endif':
        if (!top) break;
        open.pop();
        return;
    }
    throw new Error(`${path}:${i + 1}: ${line.trim()}`);
  });
  if (open.length > 0) throw new Error(`${path}: #if without #endif`);
  return out.join('\n');
}

function holds(condition: string, symbols: Readonly<Record<string, OptionValue>>, where: string): boolean {
  return condition.split('||').some((either) =>
    either.split('&&').every((term) => {
      const match = /^\s*(!?)(\w+)\s*(?:(==|!=|<=|>)\s*(\w+))?\s*$/.exec(term);
      if (!match) throw new Error(`${where}: can't read "${term}"`);
      const [, not, name, operator, literal] = match;
      if (!(name in symbols)) throw new Error(`${where}: ${name} is not declared in variants.json`);
      const value = symbols[name];
      switch (operator) {
        case undefined:
          return Boolean(value) !== (not === '!');
        case '==':
          return String(value) === literal;
        case '!=':
          return String(value) !== literal;
        case '<=':
          return Number(value) <= Number(literal);
        default:
          return Number(value) > Number(literal);
      }
    }),
  );
}
