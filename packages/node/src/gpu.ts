import { UnsupportedError } from '@llava-sp/core';

/** Dawn crashes when its GPU object is collected while a device lives, so the first one is kept for good. */
let opening: Promise<GPU> | undefined;

/**
 * WebGPU by the npm package `webgpu` (Dawn), an optional peer dependency that is loaded when it is first asked for.
 * The process ends by itself, with or without `dispose()`: nothing here keeps it alive.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE` where the package is not installed or has no build for this machine.
 */
export function openGpu(): Promise<GPU> {
  opening ??= open().catch((error: unknown) => {
    opening = undefined;
    throw error;
  });
  return opening;
}

async function open(): Promise<GPU> {
  try {
    const { create } = await import('webgpu');
    return create([]);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const absent = code === 'ERR_MODULE_NOT_FOUND' && message.includes("'webgpu'");
    throw new UnsupportedError({
      code: 'BACKEND_UNAVAILABLE',
      message: absent
        ? 'WebGPU in Node needs the npm package "webgpu", which is not installed.'
        : `The npm package "webgpu" can't be loaded on ${process.platform}-${process.arch}.`,
      fix: absent ? 'Run: npm install webgpu' : 'Install it anew (npm install webgpu), or use device "wasm".',
      cause,
    });
  }
}
