import { cp } from 'node:fs/promises';
import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/formats.ts', 'src/worker.ts'],
  format: 'esm',
  target: 'es2023',
  dts: true,
  clean: true,
  sourcemap: true,
  // The kernels travel with the package; an adapter says how their bytes are read.
  onSuccess: () => cp('../../wasm/dist', 'dist/wasm', { recursive: true }),
});
