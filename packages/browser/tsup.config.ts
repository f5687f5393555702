import { defineConfig } from 'tsup';

// Declarations; rollup.config.mjs in the project's root makes all else.
export default defineConfig({
  entry: ['src/index.ts'],
  format: 'esm',
  dts: { only: true },
  clean: true,
});
