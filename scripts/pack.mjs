// Packs packages as `npm publish` would.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './run.mjs';

/** In the order of their dependencies. */
export const PACKAGES = ['core', 'node', 'deno', 'browser', 'convert', 'demo-model', 'llava-sp'];

/** A package.json. */
export function manifestOf(name) {
  return JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
}

/**
 * Packs the built packages into `folder`.
 *
 * @returns {Promise<{ name: string, path: string, size: number, unpackedSize: number }[]>} sizes in bytes.
 */
export async function pack(folder, names = PACKAGES) {
  const workspaces = names.flatMap((name) => ['--workspace', `packages/${name}`]);
  const { stdout } = await promisify(execFile)(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder, ...workspaces],
    { cwd: root, maxBuffer: 1e8 },
  );
  // A list, or since npm 11.19 a record by name.
  return Object.values(JSON.parse(stdout)).map(({ name, filename, size, unpackedSize }) => ({
    name,
    path: join(folder, filename),
    size,
    unpackedSize,
  }));
}

/** Calls `use` with a folder of tarballs and removes it. */
export async function withTarballs(use) {
  const folder = mkdtempSync(join(tmpdir(), 'llava-sp-pack-'));
  try {
    return await use(await pack(folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
