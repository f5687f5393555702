/** The entry of a worker thread: an adapter's worker file calls {@link serve} with its runtime's message port. */
export { serve, type WorkerScope } from './backends/wasm/serve.ts';
