// `npm run sizes`: what an application pays for, as a table; fails when something is over its budget in sizes.json.
// Two sums of core + browser, as Vite's bundler minifies the page's and the worker's code, with all WGSL and both WASM builds (a page
// fetches one of them):
// - "in all": everything, whenever it is fetched.
// - "to answer": without what code asks for by import() when it is first used, as the list ON_REQUEST says. It is what a page fetches
//   for an answer of the demo model about pixels, with either backend. The 150 kB are for this one.
// Neither has third-party code: the libraries (tokenizers, jinja), the codecs of picture files, gpu.js. npm run build comes before.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { withTarballs } from './pack.mjs';
import { root } from './run.mjs';

const LIBRARIES = [/^@huggingface\//];
/** Of picture files, and of downloads' hashes: they come on request. */
const LATER = [/^@jsquash\//, 'jpeg-js', 'hash-wasm'];

/** What is fetched when it is first used, by the module that import() names. */
const ON_REQUEST = [
  ['decoders of picture files, without the codecs', /core\/src\/image\/(codecs|decoder)/],
  ['downloads into the cache', /core\/src\/download\/(lazy|entry|sha256)/],
  ['constrained answers, ground, caption, describe', /core\/src\/(text\/constraint|api\/tasks)/],
  ["WebGPU's self-test (once an adapter) and doctor", /core\/src\/(doctor|backends\/webgpu\/self_test)/],
  ['the WebGL tier, without gpu.js', /core\/src\/backends\/webgl/],
];

const entries = ['index.ts', 'worker_file.ts'].map((name) => join(root, 'packages/browser/src', name));
/** A module of both. */
const ALL = 'page-and-worker';
const holds = (modules, pattern) => modules.some((id) => pattern.test(id));
const isOnRequest = (modules) => ON_REQUEST.some(([, pattern]) => holds(modules, pattern));
const budgets = JSON.parse(readFileSync(new URL('./sizes.json', import.meta.url), 'utf8'));
const gzip = (bytes) => gzipSync(bytes, { level: 9 }).length;
const file = (path) => readFileSync(join(root, path));

/**
 * The minified chunks of some entries by name: their bytes, what they import, and the files in them. `alone`: all in one, and
 * without what is fetched on request unless `withRequested`.
 */
async function bundle(input, external, { alone = false, withRequested = false } = {}) {
  const bundled = await rolldown({
    cwd: root,
    input,
    platform: 'browser',
    tsconfig: false,
    treeshake: { moduleSideEffects: (id) => entries.includes(id) },
    external: [...external, /^node:/],
    logLevel: 'silent',
    plugins: [
      {
        name: 'core',
        resolveId(id, importer, { kind }) {
          if (id === ALL) return id;
          if (
            alone &&
            !withRequested &&
            kind === 'dynamic-import' &&
            isOnRequest([resolve(dirname(importer), id)])
          ) {
            return { id, external: true };
          }
          if (!/^@llava-sp\/core(\/worker)?$/.test(id)) return null;
          return join(root, 'packages/core/src', id.endsWith('/worker') ? 'worker.ts' : 'index.ts');
        },
        load: (id) => (id === ALL ? entries.map((entry) => `export * from '${entry}';`).join('\n') : null),
      },
    ],
  });
  const { output } = await bundled.generate({ format: 'es', minify: true, codeSplitting: !alone });
  const chunks = output.filter(({ type }) => type === 'chunk');
  return new Map(
    chunks.map(({ fileName, code, imports, dynamicImports, moduleIds }) => [
      fileName,
      { imports, dynamicImports, modules: moduleIds, bytes: Buffer.from(code) },
    ]),
  );
}

/** Chunks that are fetched from the ones of `names` on, without those that `wanted` refuses and those of `without`. */
function reach(all, names, wanted, without = new Set()) {
  const found = new Set();
  const visit = (name) => {
    const chunk = all.get(name);
    if (!chunk || found.has(name) || without.has(name)) return;
    found.add(name);
    chunk.imports.forEach(visit);
    chunk.dynamicImports.filter((other) => wanted(all.get(other)?.modules ?? [])).forEach(visit);
  };
  names.forEach(visit);
  return found;
}

const rows = [];
/** A line of the table: uncompressed and gzipped bytes of all parts. */
function row(name, parts, { raw, packed } = {}) {
  const sum = (measure) => parts.reduce((bytes, part) => bytes + measure(part), 0);
  rows.push({ name, raw: raw ?? sum((part) => part.length), gzip: packed ?? sum(gzip) });
  return rows.at(-1);
}

const all = await bundle(entries, [...LIBRARIES, ...LATER]);
const starts = [...all]
  .filter(([, { modules }]) => modules.some((id) => entries.includes(id)))
  .map(([name]) => name);
const answering = reach(all, starts, (modules) => !isOnRequest(modules));
const bytesOf = (names) => [...names].map((name) => all.get(name).bytes);
const wasm = ['simd', 'relaxed'].map((name) => file(`packages/core/dist/wasm/kernels.${name}.wasm`));

const [code] = (await bundle(ALL, [...LIBRARIES, ...LATER], { alone: true })).values();
const options = { alone: true, withRequested: true };
const [everything] = (await bundle(ALL, [...LIBRARIES, ...LATER], options)).values();
row('core + browser in all: code, all WGSL, both WASM builds', [everything.bytes, ...wasm]);
row('core + browser to answer: code, all WGSL, both WASM builds', [code.bytes, ...wasm]);
row('  the code and WGSL', [code.bytes]);
row('  WASM, simd', [wasm[0]]);
row('  WASM, relaxed simd', [wasm[1]]);
for (const [name, pattern] of ON_REQUEST) {
  const roots = [...all].filter(([, { modules }]) => holds(modules, pattern)).map(([chunk]) => chunk);
  row(`on request: ${name}`, bytesOf(reach(all, roots, (modules) => holds(modules, pattern), answering)));
}
const [withLibraries] = (await bundle(ALL, LATER, { alone: true })).values();
row('third-party libraries: tokenizers, jinja', [], {
  raw: withLibraries.bytes.length - code.bytes.length,
  packed: gzip(withLibraries.bytes) - gzip(code.bytes),
});
const [worker] = (await bundle(join(root, 'packages/browser/dist/worker.js'), [])).values();
row('worker.js in one file, minified, all of the above', [worker.bytes]);
row('llava-sp.js: one self-contained module', [file('packages/browser/dist/llava-sp.js')]);
const model = join(root, 'packages/demo-model/model');
row(
  'the demo model',
  readdirSync(model).map((name) => readFileSync(join(model, name))),
);
await withTarballs((tarballs) => {
  for (const { name, size, unpackedSize } of tarballs) {
    row(`npm: ${name}`, [], { raw: unpackedSize, packed: size });
  }
});

const kB = (bytes) => (bytes / 1000).toFixed(1).padStart(9);
let over = 0;
console.log(`${'kB'.padEnd(62)}      raw     gzip   budget`);
for (const { name, raw, gzip: packed } of rows) {
  const budget = budgets[name.trim()];
  const verdict = budget === undefined ? '' : kB(budget * 1000);
  const isOver = packed > budget * 1000;
  if (isOver) over++;
  console.log(`${name.padEnd(60)}${kB(raw)}${kB(packed)}${verdict}${isOver ? '  OVER' : ''}`);
}
for (const name of Object.keys(budgets)) {
  if (rows.some((line) => line.name.trim() === name)) continue;
  console.log(`sizes.json has a budget for "${name}", which is not measured.`);
  over++;
}
if (over > 0) {
  console.log(
    `${over} over budget: load what is rarely used by import(), or say in sizes.json why it may be larger.`,
  );
}
process.exitCode = over > 0 ? 1 : 0;
