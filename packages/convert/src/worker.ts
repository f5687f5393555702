/** A worker thread of a conversion: chunks in, stored chunks out, one at a time. */
import { readFile } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import type { Chunk } from './quantise/chunk.ts';
import { createKernels } from './quantise/kernels.ts';
import { Quantiser } from './quantise/quantiser.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
const wasm = await readFile(new URL('../wasm/convert.wasm', import.meta.url));
const quantiser = new Quantiser(await createKernels(new Uint8Array(wasm)));
port.on('message', (chunk: Chunk) => {
  const stored = quantiser.run(chunk);
  port.postMessage(stored, [stored.values.buffer, stored.scales.buffer, stored.biases.buffer]);
});
