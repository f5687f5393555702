// Reads wgsl/variants.json and the WGSL sources and writes packages/core/src/backends/webgpu/kernels.gen.ts, so that a
// bundle holds them. Every application pays for their bytes: comments, spaces that separate nothing and long names
// of a kernel's own are left out.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wgsl = resolve(here, '../../../wgsl');
const outPath = resolve(here, '../src/backends/webgpu/kernels.gen.ts');

/** Declarations: functions, variables, constants, types; and a function's parameters. */
const DECLARED = /\b(?:fn|let|var(?:<[^>]*>)?|const|struct|alias)\s+(\w+)/g;
const PARAMETERS = /\bfn\s+\w+\(([^)]*)\)/g;

/** The TypeScript module for the folder `wgsl/`. */
export function renderWgsl() {
  const variants = JSON.parse(readFileSync(resolve(wgsl, 'variants.json'), 'utf8'));
  for (const kernel of Object.values(variants)) delete kernel.about;
  const files = ['kernels', 'shared'].flatMap((folder) =>
    readdirSync(resolve(wgsl, folder))
      .filter((name) => name.endsWith('.wgsl'))
      .sort()
      .map((name) => `${folder}/${name}`),
  );
  const tight = files.map((file) => tighten(readFileSync(resolve(wgsl, file), 'utf8')));
  const names = shortNames(tight.join('\n'), JSON.stringify(variants));
  const sources = Object.fromEntries(files.map((file, i) => [file, rename(tight[i], names)]));
  return [
    '// Generated from wgsl/ by scripts/gen-wgsl.mjs. Do not edit.',
    `export const manifest = ${JSON.stringify(variants)} as const;`,
    `export const sources = ${JSON.stringify(sources, null, 2)} as const;`,
    '',
  ].join('\n');
}

/**
 * Without comments, and without spaces that separate nothing. Lines stay: a driver's messages name them. Behind a `>` spaces stay: a type
 * and `=` are not `>=`.
 */
function tighten(source) {
  return source
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => (line.startsWith('#') ? line : line.replace(/(?<!>) ?([,;:{}()[\]<*/%|^=!?]) ?/g, '$1')))
    .join('\n');
}

/** A short name for what the kernels declare. What others name too stays: the manifest, the run's fields, builtins. */
function shortNames(text, variants) {
  const words = text.match(/\w+/g);
  const others = [...text.matchAll(/\brun\.(\w+)|@builtin\((\w+)\)/g)].flat();
  const kept = new Set([...variants.match(/\w+/g), ...others, 'main']);
  const declared = new Set([...text.matchAll(DECLARED)].map(([, name]) => name));
  for (const [, parameters] of text.matchAll(PARAMETERS)) {
    for (const [, name] of parameters.matchAll(/(\w+)\s*:/g)) declared.add(name);
  }
  const counts = new Map();
  for (const word of words) {
    if (word.length > 1 && declared.has(word) && !kept.has(word))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const names = unusedNames(new Set([...words, ...kept]));
  const byUse = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  return new Map(byUse.map(([word]) => [word, names.next().value]));
}

/** a, b, ... Z, a0, b0, ...: those that occur nowhere. Behind a letter a digit: no word of the language is such. */
function* unusedNames(used) {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  for (let i = 0; ; i++) {
    const name = i < 52 ? letters[i] : letters[i % 52] + (Math.floor(i / 52) - 1);
    if (!used.has(name)) yield name;
  }
}

function rename(source, names) {
  return source
    .split('\n')
    .map((line) => (line.startsWith('#') ? line : line.replace(/\w+/g, (word) => names.get(word) ?? word)))
    .join('\n');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  mkdirSync(dirname(outPath), { recursive: true });
  writeFileSync(outPath, renderWgsl());
}
