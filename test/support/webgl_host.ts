/** The tests' page with the library gpu.js. */
import type { Host } from '../../packages/core/src/host.ts';
import { browserHost } from './browser_host.ts';

export const webglHost: Host = { ...browserHost, openGpuJs: () => import('gpu.js') };
