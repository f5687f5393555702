/** The names of devices, apart from all that runs on them: a page whose model is in a worker checks its options by them. */

/**
 * Where a model may run. `auto` takes the best that works. `webgl`, in browsers: WASM, whose large matrix products run on
 * WebGL2 by the library gpu.js, which is to be installed.
 */
export type Device = 'auto' | 'wasm' | 'webgpu' | 'webgl';

export const DEVICES: readonly Device[] = ['auto', 'wasm', 'webgpu', 'webgl'];

/** Arithmetic of the WebGPU kernels. `auto` takes f16 where the adapter has it and its self-test passes. */
export type Precision = 'auto' | 'f32' | 'f16';

export const PRECISIONS: readonly Precision[] = ['auto', 'f32', 'f16'];
