import { rm } from 'node:fs/promises';
import { defineConfig } from 'tsup';

await rm('dist', { recursive: true, force: true });

// Declarations; rollup.config.mjs in the project's root makes all else.
export default defineConfig({
  entry: ['src/index.ts'],
  format: 'esm',
  dts: { only: true },
});
