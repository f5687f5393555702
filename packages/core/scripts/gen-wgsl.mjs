// Reads wgsl/variants.json and the WGSL sources and writes packages/core/src/backends/webgpu/kernels.gen.ts, so that a
// bundle holds them. Comments and indentation are left out: they cost bytes in every application.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wgsl = resolve(here, '../../../wgsl');
const outPath = resolve(here, '../src/backends/webgpu/kernels.gen.ts');

/** The TypeScript module for the folder `wgsl/`. */
export function renderWgsl() {
  const variants = readFileSync(resolve(wgsl, 'variants.json'), 'utf8');
  const files = ['kernels', 'shared'].flatMap((folder) =>
    readdirSync(resolve(wgsl, folder))
      .filter((name) => name.endsWith('.wgsl'))
      .sort()
      .map((name) => `${folder}/${name}`),
  );
  const sources = Object.fromEntries(
    files.map((file) => [file, shorten(readFileSync(resolve(wgsl, file), 'utf8'))]),
  );
  return [
    '// Generated from wgsl/ by scripts/gen-wgsl.mjs. Do not edit.',
    `export const manifest = ${variants.trim()} as const;`,
    `export const sources = ${JSON.stringify(sources, null, 2)} as const;`,
    '',
  ].join('\n');
}

function shorten(source) {
  return source
    .split('\n')
    .map((line) => line.replace(/\/\/.*$/, '').trim())
    .filter((line) => line !== '')
    .join('\n');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  mkdirSync(dirname(outPath), { recursive: true });
  writeFileSync(outPath, renderWgsl());
}
