// `node scripts/check-packages.mjs [--release]`: packs every package as npm would publish it, and checks the tarballs: publint
// and arethetypeswrong find nothing; what a file imports is listed as a dependency, and what is listed is imported; licence,
// README and maps are there, and nothing of the machine that built them. --release: what publishing needs, too.
import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import ts from 'typescript';
import { PACKAGES, manifestOf, withTarballs } from './pack.mjs';
import { root } from './run.mjs';

/** Packages that run in Node alone. */
const NODE = new Set(['@llava-sp/node', '@llava-sp/convert', 'llava-sp']);

/** The fields that every package has. */
const FIELDS = [
  'name',
  'version',
  'description',
  'keywords',
  'license',
  'author',
  'type',
  'sideEffects',
  'files',
];

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = await withTarballs(async (tarballs) => {
    const lists = [manifests(process.argv.includes('--release'))];
    for (const { name, path } of tarballs) {
      const problems = await check(readFileSync(path));
      console.error(`${name}: ${problems.length === 0 ? 'clean' : `${problems.length} problems`}`);
      lists.push(problems.map((problem) => `${name}: ${problem}`));
    }
    return lists.flat();
  });
  for (const problem of found) console.error(problem);
  process.exitCode = found.length > 0 ? 1 : 0;
}

/** What is wrong with the packages beside each other. */
export function manifests(release = false) {
  const all = PACKAGES.map(manifestOf);
  const versions = new Map(all.map(({ name, version }) => [name, version]));
  const problems = [];
  if (new Set(versions.values()).size > 1) problems.push(`versions differ: ${[...versions].join(' ')}`);
  for (const manifest of all) {
    for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
      if (versions.has(name) && versions.get(name) !== range) {
        problems.push(`${manifest.name} wants ${name} ${range}, which is ${versions.get(name)}`);
      }
    }
    // npm signs where a package was built only if its repository is the one that builds it.
    if (release && !manifest.repository) problems.push(`${manifest.name}: provenance needs "repository"`);
  }
  return problems;
}

/** What is wrong with a tarball. */
export async function check(bytes) {
  const types = createPackageFromTarballData(bytes);
  const prefix = `/node_modules/${types.packageName}/`;
  const files = new Map(types.listFiles().map((path) => [path.slice(prefix.length), path]));
  const read = (file) => types.readFile(files.get(file));
  const manifest = JSON.parse(read('package.json'));
  return [
    ...(await lint(bytes, manifest)),
    ...(await wrongTypes(types, manifest)),
    ...contents(manifest, files, read),
    ...imports(manifest, files, read),
  ];
}

async function lint(bytes, manifest) {
  const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { messages } = await publint({ pack: { tarball }, strict: true });
  return messages.map((message) => `publint: ${formatMessage(message, manifest, { color: false })}`);
}

async function wrongTypes(types, manifest) {
  const globs = Object.keys(manifest.exports).filter((name) => name.includes('*'));
  const result = await checkPackage(types, { excludeEntrypoints: globs });
  if (!result.types) return ['it has no types'];
  return result.problems
    .filter(({ resolutionKind }) => resolutionKind !== 'node10' && resolutionKind !== 'node16-cjs')
    .map((problem) => `types: ${JSON.stringify({ ...problem, trace: undefined })}`);
}

function contents(manifest, files, read) {
  const problems = FIELDS.filter((field) => manifest[field] === undefined).map((field) => `no "${field}"`);
  if (manifest.publishConfig?.provenance !== true) problems.push('publishConfig.provenance is not set');
  if (!files.has('README.md')) problems.push('no README.md');
  if (!files.has('LICENSE') || read('LICENSE') !== readFileSync(join(root, 'LICENSE'), 'utf8')) {
    problems.push("LICENSE is not the project's");
  }
  for (const [file] of files) {
    if (/\.tsx?$/.test(file) && !file.endsWith('.d.ts')) problems.push(`${file} is a source`);
    if (/\.(js|ts|map|json|md|html)$/.test(file) && read(file).includes(dirname(root) + '/')) {
      problems.push(`${file} names a folder of this machine`);
    }
  }
  return problems;
}

/** What files import: it must be in the tarball, or among its dependencies, which must all be imported. */
function imports(manifest, files, read) {
  const problems = [];
  const { dependencies = {}, peerDependencies = {} } = manifest;
  const listed = new Set(Object.keys({ ...dependencies, ...peerDependencies }));
  const used = new Set();
  for (const [file] of files) {
    if (!/\.(js|d\.ts)$/.test(file)) continue;
    const text = read(file);
    // Core names the WASM of decoders, which adapters find.
    const decoders = manifest.name === '@llava-sp/core' ? text.matchAll(/wasm: "(@[^"]+)"/g) : [];
    for (const specifier of [...specifiers(text), ...[...decoders].map(([, name]) => name)]) {
      if (specifier.startsWith('.')) {
        const path = posix.join(posix.dirname(file), specifier).replace(/[?#].*$/, '');
        const declared = path.replace(/\.js$/, '.d.ts');
        const folder = [...files.keys()].some((name) => name.startsWith(path));
        if (!files.has(file.endsWith('.ts') ? declared : path) && !folder) {
          problems.push(`${file} imports ${specifier}, which is not in the tarball`);
        }
        continue;
      }
      if (isBuiltin(specifier)) {
        if (!NODE.has(manifest.name)) problems.push(`${file} imports ${specifier}`);
        continue;
      }
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      if (name === manifest.name) continue;
      used.add(name);
      if (!listed.has(name)) problems.push(`${file} imports ${name}, which package.json does not list`);
    }
  }
  for (const name of listed) {
    if (name.startsWith('@jsquash/') && '@llava-sp/core' in dependencies) continue;
    // Loaded by an address that the application gives.
    if (name === 'gpu.js') continue;
    if (!used.has(name)) problems.push(`${name} is listed and nothing imports it`);
  }
  return problems;
}

/** Everything that a module names: imports, `import()`, `import.meta.resolve`, types, and files beside it by `new URL`. */
export function specifiers(text) {
  const { importedFiles, typeReferenceDirectives, referencedFiles } = ts.preProcessFile(text, true, true);
  const named = [...importedFiles, ...typeReferenceDirectives, ...referencedFiles].map(
    ({ fileName }) => fileName,
  );
  const resolved = text.matchAll(/import\.meta\.resolve\(\s*(['"`])([^'"`$]+)\1/g);
  const beside = text.matchAll(/new URL\(\s*(['"`])(?:\.\/)?([^'"`$]+)\1,\s*import\.meta\.url/g);
  return [
    ...named,
    ...[...resolved].map(([, , name]) => name),
    ...[...beside].map(([, , name]) => `./${name}`),
  ];
}
