/** Model folders for tests of the API: the goldens, and broken copies of them. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Golden } from './golden.ts';

const root = fileURLToPath(new URL('../golden/', import.meta.url));

export function modelPath(name: string): string {
  return join(root, name);
}

export function imagePath(name: string): string {
  return join(root, name, 'image.png');
}

export async function goldenOf(name: string): Promise<Golden> {
  return JSON.parse(await readFile(join(root, name, 'golden.json'), 'utf8')) as Golden;
}

/** A copy of a golden folder that `change` may break; gone after `use`. */
export async function withCopy<T>(
  name: string,
  change: (folder: string) => Promise<void>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'llava-sp-test-'));
  try {
    await cp(join(root, name), folder, { recursive: true });
    await change(folder);
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Changes one JSON file of a folder. */
export async function editJson(
  folder: string,
  file: string,
  edit: (json: Record<string, unknown>) => void,
): Promise<void> {
  const path = join(folder, file);
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}
