// Reads wasm/kernels.inc and writes packages/core/src/backends/wasm/kernels.gen.ts: opcodes, fields and argument types.
// Plain Node (>= 20), so that a build needs nothing else. `parseKernels` is also what tests and benches may use.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const listPath = resolve(here, '../../../wasm/kernels.inc');
export const outPath = resolve(here, '../src/backends/wasm/kernels.gen.ts');

/** @param {string} text contents of kernels.inc; returns `{ name, fields: [name, 'P'|'U'|'I'|'F'][] }[]`, opcode = index. */
export function parseKernels(text) {
  const kernels = [];
  const names = new Set();
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '');
  for (const line of code.split('\n')) {
    if (!line.trim()) continue;
    const m = /^KERNEL\((\w+),((?:\s*[PUIF]\(\w+\))+)\)\s*$/.exec(line);
    if (!m) throw new Error(`kernels.inc: not a KERNEL line: ${line}`);
    const fields = [...m[2].matchAll(/([PUIF])\((\w+)\)/g)].map((f) => [f[2], f[1]]);
    if (names.has(m[1])) throw new Error(`kernels.inc: ${m[1]} is listed twice`);
    if (new Set(fields.map((f) => f[0])).size !== fields.length) {
      throw new Error(`kernels.inc: ${m[1]} names a field twice`);
    }
    names.add(m[1]);
    kernels.push({ name: m[1], fields });
  }
  return kernels;
}

/** The TypeScript module for a parsed list. */
export function renderKernels(kernels) {
  const out = ['// Generated from wasm/kernels.inc by scripts/gen-kernels.mjs. Do not edit.', ''];
  out.push(
    '/** P byte address, U u32, I i32, F f32: one word each. */',
    "export type FieldKind = 'P' | 'U' | 'I' | 'F';",
    '',
  );
  out.push('export const kernels = {');
  kernels.forEach((k, opcode) => {
    const fields = k.fields.map(([n, t]) => `['${n}', '${t}']`).join(', ');
    out.push(`  ${k.name}: { opcode: ${opcode}, fields: [${fields}] },`);
  });
  out.push('} as const;', '');
  out.push('export type KernelName = keyof typeof kernels;', '', 'export interface KernelArgs {');
  for (const k of kernels) {
    out.push(`  ${k.name}: { ${k.fields.map(([n]) => `${n}: number`).join('; ')} };`);
  }
  out.push('}', '');
  return out.join('\n');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const kernels = parseKernels(readFileSync(listPath, 'utf8'));
  mkdirSync(dirname(outPath), { recursive: true });
  writeFileSync(outPath, renderKernels(kernels));
  console.log(`${kernels.length} kernels -> ${outPath}`);
}
