/** The tests' page with the library gpu.js, by the address of its script. */
import type { Host } from '../../packages/core/src/host.ts';
import { browserHost } from './browser_host.ts';

/** Not a literal: it is to be imported where it lies, not bundled. */
const script: string = '/node_modules/gpu.js/dist/gpu-browser.min.js';

export const webglHost: Host = { ...browserHost, openGpuJs: (): Promise<unknown> => import(script) };
