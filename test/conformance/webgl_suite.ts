/** The conformance cases of linears, all of them on WebGL by gpu.js; in a page. */
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { WebGlBackend } from '../../packages/core/src/backends/webgl/index.ts';
import { openProducts } from '../../packages/core/src/backends/webgl/open.ts';
import { webglHost } from '../support/webgl_host.ts';
import { caches } from './case.ts';
import { chainCases } from './cases/chains.ts';
import { linearCases } from './cases/linear.ts';
import { check, ErrorTable, Truth } from './harness.ts';
import type { SuiteResult } from './suite.ts';

export interface WebGlSuiteInput {
  /** Every so manieth case: each shape is compiled. */
  readonly stride: number;
  readonly first: number;
}

export default async function run({ stride, first }: WebGlSuiteInput): Promise<SuiteResult> {
  const inner = await createWasm(webglHost, { threads: 1, poison: true });
  const backend = new WebGlBackend(inner, await openProducts(webglHost), { leastRows: 1, leastWeights: 1 });
  try {
    await backend.createCache(caches);
    const table = new ErrorTable();
    const cases = [...linearCases(), ...chainCases()].filter((_, i) => i % stride === first % stride);
    // Nothing is rounded to int8 on the GPU.
    const failures = await check(backend, 'webgl', cases, new Truth(false), table);
    return { cases: cases.length, failures, table: table.toString() };
  } finally {
    await backend.dispose();
  }
}
