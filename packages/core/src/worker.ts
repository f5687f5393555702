/**
 * The entry of a worker thread: an adapter's worker file calls {@link serve} with its runtime's message port.
 *
 * @module @llava-sp/core/worker
 */
export { serve, type WorkerScope } from './backends/wasm/serve.ts';
