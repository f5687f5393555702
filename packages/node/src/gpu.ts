import { existsSync } from 'node:fs';
import { UnsupportedError } from '@llava-sp/core';

/**
 * What Linux shows of a GPU: of the kernel's own drivers, NVIDIA's, WSL's, and of phones. Without any, Dawn would take a
 * second to find that out, and print warnings of its own about it.
 */
const RENDER_DEVICES = ['/dev/dri', '/dev/nvidiactl', '/dev/dxg', '/dev/kgsl-3d0', '/dev/mali0'];

/** Dawn crashes when its GPU object is collected while a device lives, so the first one is kept for good. */
let opening: Promise<GPU> | undefined;

/**
 * WebGPU by the npm package `webgpu` (Dawn), an optional peer dependency that is loaded when it is first asked for.
 * The process ends by itself, with or without `dispose()`: nothing here keeps it alive.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE` where the package is not installed or has no build for this machine.
 */
export function openGpu({ hardwareOnly = false }: { hardwareOnly?: boolean } = {}): Promise<GPU> {
  if (hardwareOnly && process.platform === 'linux' && !RENDER_DEVICES.some(existsSync)) {
    return Promise.reject(
      new UnsupportedError({
        code: 'BACKEND_UNAVAILABLE',
        message: 'This machine has no GPU: there is no render device in /dev.',
        fix: 'In a container, hand the GPU in; device "webgpu" takes drivers that compute on the CPU, too.',
      }),
    );
  }
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
