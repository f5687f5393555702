// Reads wgsl/variants.json and the WGSL sources and writes packages/core/src/backends/webgpu/kernels.gen.ts, so that a
// bundle holds them. Every application pays for their bytes: comments and spaces that separate nothing are left out.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wgsl = resolve(here, '../../../wgsl');
const outPath = resolve(here, '../src/backends/webgpu/kernels.gen.ts');

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
  const sources = Object.fromEntries(
    files.map((file) => [file, tighten(readFileSync(resolve(wgsl, file), 'utf8'))]),
  );
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

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  mkdirSync(dirname(outPath), { recursive: true });
  writeFileSync(outPath, renderWgsl());
}
