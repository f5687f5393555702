import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/deno.ts', 'src/browser.ts', 'src/cli.ts'],
  format: 'esm',
  target: 'node22',
  dts: { entry: ['src/index.ts', 'src/deno.ts', 'src/browser.ts'] },
  clean: true,
  sourcemap: true,
});
