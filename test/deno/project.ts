/** A project of its own, with `llava-sp` installed as npm installs it: copies, no links into the workspace. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../support/deno.ts';

interface Manifest {
  readonly files?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
}

export interface Project {
  readonly path: string;
  remove(): Promise<void>;
}

export async function makeProject(): Promise<Project> {
  const path = await mkdtemp(join(tmpdir(), 'llava-sp-deno-'));
  const installed = new Set<string>();
  const install = async (name: string): Promise<void> => {
    if (installed.has(name)) return;
    installed.add(name);
    const from = join(root, 'node_modules', name);
    const { files, dependencies = {} } = JSON.parse(
      await readFile(join(from, 'package.json'), 'utf8'),
    ) as Manifest;
    const own = name === 'llava-sp' || name.startsWith('@llava-sp/');
    // What `npm pack` takes of ours; others are as npm unpacked them.
    const taken = (files ?? []).filter((file) => !file.startsWith('!'));
    for (const file of own ? ['package.json', ...taken] : ['']) {
      await cp(join(from, file), join(path, 'node_modules', name, file), {
        recursive: true,
        dereference: true,
      });
    }
    for (const needed of Object.keys(dependencies)) await install(needed);
  };
  await mkdir(join(path, 'node_modules'));
  await install('llava-sp');
  await writeFile(
    join(path, 'package.json'),
    JSON.stringify({ type: 'module', dependencies: { 'llava-sp': '*' } }),
  );
  await cp(join(root, 'examples/images/scene.png'), join(path, 'photo.png'));
  return { path, remove: () => rm(path, { recursive: true }) };
}
