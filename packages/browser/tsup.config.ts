import { copyFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Options } from 'tsup';

const require = createRequire(import.meta.url);
const core = (path: string): string => fileURLToPath(new URL(`../core/src/${path}`, import.meta.url));

/** Files that are no code. */
const ASSETS = [
  '../../wasm/dist/kernels.relaxed.wasm',
  '../../wasm/dist/kernels.simd.wasm',
  ...[
    '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
    '@jsquash/png/codec/pkg/squoosh_png_bg.wasm',
    '@jsquash/webp/codec/dec/webp_dec.wasm',
    '@jsquash/avif/codec/dec/avif_dec.wasm',
  ].map((name) => require.resolve(name)),
];

await rm('dist', { recursive: true, force: true });

const common: Options = {
  format: 'esm',
  target: 'es2023',
  platform: 'browser',
  sourcemap: true,
  noExternal: [/.*/],
  esbuildPlugins: [
    {
      // The sources, and not the built package: what a page does not need is left out file by file.
      name: 'core-from-source',
      setup(build) {
        build.onResolve({ filter: /^@llava-sp\/core(\/worker)?$/ }, ({ path }) => ({
          path: core(path.endsWith('/worker') ? 'worker.ts' : 'index.ts'),
          sideEffects: false,
        }));
      },
    },
  ],
};

export default defineConfig([
  {
    ...common,
    entry: ['src/index.ts'],
    onSuccess: async () => {
      await Promise.all(
        ASSETS.map((file) => copyFile(file, `dist/${file.slice(file.lastIndexOf('/') + 1)}`)),
      );
    },
  },
  // In one file: bundlers build a worker of several only when they are told to.
  { ...common, entry: { worker: 'src/worker_file.ts' }, splitting: false },
  { entry: ['src/index.ts'], format: 'esm', dts: { only: true } },
]);
