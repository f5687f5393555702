// The self-contained ES module of packages/browser: all code, WGSL, both WASM builds and the decoders of JPEG, PNG and WebP in
// one file, which is its own worker too. It takes the other files of that package's dist, so tsup builds that first.
import { readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { build, transform } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const dist = 'packages/browser/dist';
const CORE = {
  '@llava-sp/core': at('packages/core/src/index.ts'),
  '@llava-sp/core/worker': at('packages/core/src/worker.ts'),
};

/** `embedded:name` is a file of dist, deflated and in base64: gzip makes of that text what it made of the bytes. */
const embedded = {
  name: 'embedded',
  resolveId: (id) => (id.startsWith('embedded:') ? `\0${id}` : null),
  async load(id) {
    if (!id.startsWith('\0embedded:')) return null;
    const bytes = await readFile(at(`${dist}/${id.slice('\0embedded:'.length)}`));
    return `export default ${JSON.stringify(deflateRawSync(bytes, { level: 9 }).toString('base64'))};`;
  },
};

/** Our own TypeScript, by esbuild; each package of others as one module, whatever its form. */
const sources = {
  name: 'sources',
  resolveId(id, importer) {
    if (id in CORE) return { id: CORE[id], moduleSideEffects: false };
    if (importer && /^\.\.?\//.test(id)) return null;
    return id.startsWith('/') || id.startsWith('\0')
      ? null
      : { id: `\0package:${id}`, moduleSideEffects: false };
  },
  async load(id) {
    if (!id.startsWith('\0package:')) return null;
    const name = id.slice('\0package:'.length);
    const { outputFiles } = await build({
      absWorkingDir: at('packages/core'),
      entryPoints: [id.slice('\0package:'.length)],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2023',
      write: false,
      logLevel: 'error',
      // The image decoders' emscripten code asks for these in Node alone.
      external: builtinModules,
    });
    return outputFiles[0].text;
  },
  async transform(code, id) {
    if (!id.endsWith('.ts')) return null;
    return transform(code, { loader: 'ts', target: 'es2023', sourcefile: id, sourcemap: true });
  },
};

const minify = {
  name: 'minify',
  renderChunk: (code) => transform(code, { minify: true, format: 'esm', target: 'es2023', sourcemap: true }),
};

export default {
  input: at('packages/browser/src/llava-sp.ts'),
  plugins: [embedded, sources, minify],
  output: { file: `${dist}/llava-sp.js`, format: 'es', inlineDynamicImports: true, sourcemap: true },
};
