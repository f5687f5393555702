// The code of packages/browser, from its sources and core's. For bundlers: index.js with its chunks, and worker.js in one file,
// for not every bundler builds a worker of several; assets lie beside them, and are named relative to them. For all else:
// llava-sp.js, which holds everything (WGSL, both WASM builds, the decoders of JPEG, PNG and WebP) and is its own worker.
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { builtinModules, createRequire } from 'node:module';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { build, transform } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const fromCore = createRequire(at('packages/core/package.json'));
const dist = at('packages/browser/dist');
const target = 'es2023';

const CORE = {
  '@llava-sp/core': at('packages/core/src/index.ts'),
  '@llava-sp/core/worker': at('packages/core/src/worker.ts'),
};

/** Files that are no code, by the names that they have in dist. */
const ASSETS = Object.fromEntries(
  [
    at('wasm/dist/kernels.relaxed.wasm'),
    at('wasm/dist/kernels.simd.wasm'),
    fromCore.resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'),
    fromCore.resolve('@jsquash/png/codec/pkg/squoosh_png_bg.wasm'),
    fromCore.resolve('@jsquash/webp/codec/dec/webp_dec.wasm'),
    fromCore.resolve('@jsquash/avif/codec/dec/avif_dec.wasm'),
  ].map((file) => [basename(file), file]),
);

/** Our own TypeScript; each package of others as one module, whatever its form. Nothing of it has side effects but entries. */
const sources = {
  name: 'sources',
  resolveId(id, importer) {
    if (!importer) return null;
    if (id in CORE) return { id: CORE[id], moduleSideEffects: false };
    if (/^\.\.?\//.test(id)) {
      return { id: fileURLToPath(new URL(id, `file://${importer}`)), moduleSideEffects: false };
    }
    return id.includes('\0') || id.includes(':') ? null : { id: `\0package:${id}`, moduleSideEffects: false };
  },
  async load(id) {
    if (!id.startsWith('\0package:')) return null;
    const { outputFiles } = await build({
      absWorkingDir: at('packages/core'),
      entryPoints: [id.slice('\0package:'.length)],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      target,
      write: false,
      logLevel: 'error',
      // The image decoders' emscripten code asks for these in Node alone.
      external: builtinModules,
    });
    // The image decoders set this where there is none. webpack puts the address itself in its place, which can't be set.
    return outputFiles[0].text.replaceAll('import.meta.url = "https://localhost";', '');
  },
  async transform(code, id) {
    if (!id.endsWith('.ts')) return null;
    return transform(code, { loader: 'ts', target, sourcefile: id, sourcemap: true });
  },
};

/** `embedded:name` is an asset, deflated and in base64: gzip makes of that text what it made of the bytes. */
const embedded = {
  name: 'embedded',
  resolveId: (id) => (id.startsWith('embedded:') ? `\0${id}` : null),
  async load(id) {
    if (!id.startsWith('\0embedded:')) return null;
    const bytes = await readFile(ASSETS[id.slice('\0embedded:'.length)]);
    return `export default ${JSON.stringify(deflateRawSync(bytes, { level: 9 }).toString('base64'))};`;
  },
};

const minify = {
  name: 'minify',
  renderChunk: (code) => transform(code, { minify: true, format: 'esm', target, sourcemap: true }),
};

const assets = {
  name: 'assets',
  async writeBundle() {
    await mkdir(dist, { recursive: true });
    await Promise.all(Object.entries(ASSETS).map(([name, file]) => copyFile(file, `${dist}/${name}`)));
  },
};

const common = { dir: dist, format: 'es', sourcemap: true, chunkFileNames: 'chunk-[name].js' };

export default [
  { input: { index: at('packages/browser/src/index.ts') }, plugins: [sources, assets], output: common },
  {
    input: { worker: at('packages/browser/src/worker_file.ts') },
    plugins: [sources],
    output: { ...common, sourcemap: false, inlineDynamicImports: true },
  },
  {
    input: { 'llava-sp': at('packages/browser/src/llava-sp.ts') },
    plugins: [embedded, sources, minify],
    output: { ...common, sourcemap: false, inlineDynamicImports: true },
  },
];
