/**
 * Every op, build of the kernels and number of threads against float64, at tile edges, with outputs poisoned by NaN. This
 * suite is a backend's specification.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWasm, type WasmBackend } from '../../packages/core/src/backends/wasm/index.ts';
import { createTestHost } from '../support/host.ts';
import { caches, type Case } from './case.ts';
import { attentionCases } from './cases/attention.ts';
import { chainCases } from './cases/chains.ts';
import { elementwiseCases } from './cases/elementwise.ts';
import { linearCases } from './cases/linear.ts';
import { normCases } from './cases/norms.ts';
import { windowCases } from './cases/windows.ts';
import { check, ErrorTable, locate, Truth } from './harness.ts';

const groups = {
  linear: linearCases(),
  norms: normCases(),
  attention: attentionCases(),
  elementwise: elementwiseCases(),
  windows: windowCases(),
  chains: chainCases(),
};
const truth = new Truth();
const table = new ErrorTable();

const devices = [
  { variant: 'simd', threads: 1 },
  { variant: 'simd', threads: 2 },
  { variant: 'simd', threads: 3 },
  { variant: 'relaxed', threads: 1, q4Gemv: 'linear_q4_gemv' },
  { variant: 'relaxed', threads: 2, q4Gemv: 'linear_q4_gemv' },
  { variant: 'relaxed', threads: 3, q4Gemv: 'linear_q4_gemv_dot4' },
] as const;

/**
 * All cases on one thread. More threads than cores wait for each other at every gather, so of the many linear cases each
 * takes a half: both halves on each build, and on each number of threads.
 */
function share(
  name: string,
  cases: readonly Case[],
  { variant, threads }: (typeof devices)[number],
): readonly Case[] {
  if (name !== 'linear' || threads === 1) return cases;
  const turn = threads + (variant === 'simd' ? 0 : 1);
  return cases.filter((_, i) => i % 2 === turn % 2);
}

/** Fewer texts than failures: one broken kernel breaks thousands of cases. */
const shown = 8;

describe.each(devices)('$variant, $threads threads', (device) => {
  const column = `${device.variant} x${device.threads}`;
  let backend: WasmBackend;

  beforeAll(async () => {
    const host = createTestHost('q4Gemv' in device ? { q4Gemv: device.q4Gemv } : {});
    backend = await createWasm(host, { variant: device.variant, threads: device.threads, poison: true });
    await backend.createCache(caches);
  });
  afterAll(() => backend.dispose());

  it.each(Object.entries(groups))('%s', async (name, all: readonly Case[]) => {
    const cases = share(name, all, device);
    const failures = await check(backend, column, cases, truth, table);
    if (failures.length > 0 && name === 'chains') {
      const first = cases.find((subject) => failures[0].includes(subject.name));
      if (first) await locate(backend, first);
    }
    const more = failures.length > shown ? [`... and ${failures.length - shown} more`] : [];
    expect([...failures.slice(0, shown), ...more].join('\n')).toBe('');
  });
});

afterAll(() => {
  console.log(table.toString());
});
