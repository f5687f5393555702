import { cp, rm } from 'node:fs/promises';
import { defineConfig } from 'tsup';

const entries = ['src/index.ts', 'src/formats.ts', 'src/calibrate.ts', 'src/worker.ts'];

await rm('dist', { recursive: true, force: true });

export default defineConfig([
  {
    entry: entries,
    format: 'esm',
    target: 'es2023',
    sourcemap: true,
    // The kernels travel with the package; an adapter says how their bytes are read.
    onSuccess: () => cp('../../wasm/dist', 'dist/wasm', { recursive: true }),
  },
  // Types one by one: Deno finds none of what several entries would share in a file between them.
  ...entries.map((entry) => ({ entry: [entry], format: 'esm' as const, dts: { only: true } })),
]);
