/** Chooses the variants for an adapter: by rule, by the self-test, and by a short measurement where it matters. */
import type { Choice } from '../../../backend/index.ts';
import { DeviceError } from '../../../errors/index.ts';
import type { Host } from '../../../host.ts';
import type { OpenDevice } from '../device.ts';
import type { WebGpuBackend, WebGpuOptions } from '../index.ts';
import { kernelNames, kernels, type KernelName } from '../shader.ts';
import { prepareLinear, PROMPT, STEP, type Timed } from './measure.ts';
import { recall, remember, settingsKey } from './remember.ts';
import {
  barrierFree,
  candidates,
  defaultSelection,
  keyOf,
  usesHalves,
  type Capabilities,
  type Refused,
} from './rules.ts';
import type { Selection } from './selection.ts';

/** What runs, why, and what the caller should hear about. */
export interface Chosen {
  readonly selection: Selection;
  readonly choices: readonly Choice[];
  readonly warnings: readonly string[];
}

/** A backend on the open device to try a selection with; it is freed, never disposed of. */
export type Trial = (selection: Selection) => WebGpuBackend;

/**
 * The selection for an open device. What was found once is remembered by the host; with `refused`, variants that were found
 * wrong elsewhere, it is found anew.
 *
 * @throws {DeviceError} `SELF_TEST_FAILED` when no variant of a kernel computes rightly.
 */
export async function chooseVariants(
  host: Host,
  open: OpenDevice,
  { precision = 'auto', variants, int8 }: WebGpuOptions,
  trial: Trial,
  refused?: Refused,
): Promise<Chosen> {
  const capabilities = capabilitiesOf(open);
  const able = capabilities.features.has('shader-f16');
  const f16 = precision !== 'f32' && able;
  if (variants || int8 !== undefined) {
    const base = defaultSelection(capabilities, f16);
    const selection = { ...base, variants: { ...base.variants, ...variants }, int8: int8 ?? false };
    return { selection, choices: [], warnings: [] };
  }
  const key = settingsKey(open, precision);
  const known = refused ? null : await recall(host, key);
  if (known) return known;
  const search = new Search(capabilities, f16, precision, trial, refused);
  if (precision === 'f16' && !able) {
    search.warnings.push(
      'f16 was asked for, but the adapter has no shader-f16: products are computed in f32.',
    );
  }
  const chosen = await search.run();
  await remember(host, key, chosen);
  return chosen;
}

export function capabilitiesOf({ device, language, adapter }: OpenDevice): Capabilities {
  const features = new Set<string>(device.features);
  return { features, language, limits: device.limits, software: adapter.software };
}

/** By expectation: another is taken only when it is clearly faster, for a busy machine makes times uncertain. */
const CLEARLY = 0.8;
/** Milliseconds after which nothing more is measured. */
const BUDGET_MS = 1000;

type Precision = NonNullable<WebGpuOptions['precision']>;

interface Contender {
  readonly name: string;
  readonly selection: Selection;
}

class Search {
  readonly warnings: string[] = [];
  readonly #capabilities: Capabilities;
  readonly #f16: boolean;
  readonly #precision: Precision;
  readonly #trial: Trial;
  readonly #refused: Map<string, string>;
  readonly #measured = new Map<KernelName, string>();
  /** For want of time. */
  readonly #unmeasured = new Set<KernelName>();

  constructor(
    capabilities: Capabilities,
    f16: boolean,
    precision: Precision,
    trial: Trial,
    refused?: Refused,
  ) {
    this.#capabilities = capabilities;
    this.#f16 = f16;
    this.#precision = precision;
    this.#trial = trial;
    this.#refused = new Map(refused);
  }

  async run(): Promise<Chosen> {
    let selection = await this.#passing();
    // Elsewhere the rule is sure, and every kernel that is compiled for a measurement costs a second.
    if (!this.#capabilities.software) selection = await this.#fastest(selection);
    return { selection, choices: this.#choices(selection), warnings: this.warnings };
  }

  /** The rule's choice of what passes the self-test. */
  async #passing(): Promise<Selection> {
    for (;;) {
      const selection = defaultSelection(this.#capabilities, this.#f16, this.#refused);
      // int8 is an addition; all others must be there.
      const absent = kernelNames.find(
        (kernel) => selection.variants[kernel] === undefined && !OPTIONAL.includes(kernel),
      );
      if (absent) throw this.#nothingLeft(absent);
      if (await this.#passes(selection)) return selection;
    }
  }

  /** Runs the self-test; what fails is refused from then on. */
  async #passes(selection: Selection, kernelsOnly?: readonly KernelName[]): Promise<boolean> {
    const { selfTest } = await import('../self_test/index.ts');
    const backend = this.#trial(selection);
    try {
      const failures = await selfTest(backend, kernelsOnly);
      for (const [kernel, why] of failures) {
        const variant = selection.variants[kernel] ?? '';
        this.#refused.set(keyOf(kernel, variant), why);
        const halves = usesHalves(kernel, variant) ? 'f16 is not used there. ' : '';
        this.warnings.push(
          `${kernel} (${variant}) fails its self-test on this adapter: ${why}. ${halves}Another form runs.`,
        );
      }
      return failures.size === 0;
    } finally {
      backend.free();
    }
  }

  async #fastest(start: Selection): Promise<Selection> {
    const deadline = performance.now() + BUDGET_MS;
    const able = (kernel: KernelName): string[] =>
      candidates(kernel, this.#capabilities).filter(
        (name) =>
          !barrierFree(kernels[kernel].variants[name]) &&
          (this.#f16 || !usesHalves(kernel, name)) &&
          !this.#refused.has(keyOf(kernel, name)),
      );
    const reductions = able('linear_gemv').map((name) => ({ name, selection: withReduction(start, name) }));
    let selection = await this.#quickest('linear_gemv', reductions, start, STEP, deadline);
    const { variants } = selection;
    const products: Contender[] = able('linear_gemm')
      .filter((name) => this.#precision === 'auto' || usesHalves('linear_gemm', name) === this.#f16)
      .map((name) => ({ name, selection: { ...selection, variants: { ...variants, linear_gemm: name } } }));
    if (this.#precision === 'auto' && OPTIONAL.every((kernel) => variants[kernel] !== undefined)) {
      products.push({ name: 'int8', selection: { ...selection, int8: true } });
    }
    selection = await this.#quickest('linear_gemm', products, selection, PROMPT, deadline);
    return selection;
  }

  /** The fastest of the contenders that passes the self-test, `start` when in doubt. */
  async #quickest(
    kernel: KernelName,
    contenders: readonly Contender[],
    start: Selection,
    shape: typeof STEP,
    deadline: number,
  ): Promise<Selection> {
    const first = start.variants[kernel];
    const ordered = contenders.toSorted((a, b) => Number(b.name === first) - Number(a.name === first));
    if (ordered.length < 2) return start;
    const backends = ordered.map(({ selection }) => this.#trial(selection));
    try {
      const settled = await Promise.allSettled(backends.map((backend) => prepareLinear(backend, shape)));
      const times: { contender: Contender; ms: number }[] = [];
      for (const [i, contender] of ordered.entries()) {
        const { [i]: prepared } = settled;
        if (prepared.status === 'rejected') continue;
        const timed: Timed = prepared.value;
        if (performance.now() > deadline) break;
        times.push({ contender, ms: await timed.time() });
      }
      if (times.length < 2) {
        this.#unmeasured.add(kernel);
        return start;
      }
      const shown = times
        .map(({ contender, ms }) => `${contender.name} ${(ms * 1000).toFixed(0)} us`)
        .join(', ');
      this.#measured.set(kernel, `measured: ${shown}`);
      return await this.#firstPassing(kernel, times, start);
    } finally {
      for (const backend of backends) backend.free();
    }
  }

  async #firstPassing(
    kernel: KernelName,
    times: { contender: Contender; ms: number }[],
    start: Selection,
  ): Promise<Selection> {
    const left = [...times];
    while (left.length > 0) {
      const best = left.reduce((a, b) => (b.ms < CLEARLY * a.ms ? b : a));
      const { name, selection } = best.contender;
      if (name === start.variants[kernel]) return start;
      const tested: KernelName[] =
        name === 'int8' ? ['linear_gemm_int8', 'quantize_q8'] : [kernel, ...REDUCING];
      if (await this.#passes(selection, tested)) return selection;
      left.splice(left.indexOf(best), 1);
    }
    return start;
  }

  #choices({ variants, int8 }: Selection): Choice[] {
    const { software } = this.#capabilities;
    const rule = software
      ? 'an adapter that computes on the CPU pays for barriers'
      : 'the first that this adapter can run';
    const halves = variants.linear_gemm !== undefined && usesHalves('linear_gemm', variants.linear_gemm);
    const choices: Choice[] = [
      {
        what: 'arithmetic of products',
        chosen: int8 ? 'int8' : halves ? 'f16' : 'f32',
        reason: this.#measured.get('linear_gemm') ?? this.#why(halves),
      },
      {
        what: 'self-test',
        chosen: 'passed',
        reason: 'the kernels that take most of the time, against float64',
      },
    ];
    for (const kernel of kernelNames) {
      const names = Object.keys(kernels[kernel].variants);
      const chosen = variants[kernel];
      if (names.length < 2 || chosen === undefined) continue;
      const refused = names.flatMap((name) => {
        const why = this.#refused.get(keyOf(kernel, name));
        return why === undefined ? [] : [`refused ${name}: ${why}`];
      });
      const late = this.#unmeasured.has(kernel) ? ['not measured: compiling took too long'] : [];
      const reason = [this.#measured.get(kernel) ?? rule, ...late, ...refused].join('; ');
      choices.push({ what: kernel, chosen, reason });
    }
    return choices;
  }

  #why(halves: boolean): string {
    if (halves) return 'the adapter has shader-f16, and it passes the self-test';
    if (!this.#capabilities.features.has('shader-f16')) return 'the adapter has no shader-f16';
    if (!this.#f16) return 'asked for';
    return this.#capabilities.software ? 'an adapter that computes on the CPU' : 'f16 was refused';
  }

  #nothingLeft(kernel: KernelName): DeviceError {
    const refused = [...this.#refused].filter(([key]) => key.startsWith(`${kernel} `));
    const why = refused.map(([key, reason]) => `${key}: ${reason}`).join('; ') || 'the adapter can run none';
    return new DeviceError({
      code: 'SELF_TEST_FAILED',
      message: `No form of the WebGPU kernel ${kernel} works on this adapter (${why}).`,
      fix: 'Update the GPU driver or the browser, or use device "wasm".',
    });
  }
}

/** A model runs without them. */
const OPTIONAL: readonly KernelName[] = ['linear_gemm_int8', 'quantize_q8'];
/** Kernels that join sums in the way that was measured for linear_gemv. */
const REDUCING: readonly KernelName[] = ['linear_gemv_split', 'norm'];

function withReduction(selection: Selection, name: string): Selection {
  const variants = { ...selection.variants, linear_gemv: name };
  for (const kernel of REDUCING) if (name in kernels[kernel].variants) variants[kernel] = name;
  return { ...selection, variants };
}
