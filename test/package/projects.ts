/** Fresh projects that have the packages as npm would install them: out of the tarballs, with what those list as dependencies. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = ['core', 'node', 'deno', 'browser', 'convert', 'demo-model', 'llava-sp'];

interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
}

export interface Projects {
  /** A new project with these files; the packages are in the `node_modules` that lies above it. */
  create(name: string, files: Readonly<Record<string, string>>): Promise<string>;
  /** What a program prints, run in a project. Its error has what it said. */
  run(project: string, command: string, args: readonly string[]): Promise<string>;
  remove(): Promise<void>;
}

/** Packs all packages and unpacks them. Other people's packages are links to the repository's, and only those that are listed. */
export async function openProjects(): Promise<Projects> {
  const folder = await mkdtemp(join(tmpdir(), 'llava-sp-projects-'));
  const at = (name: string): string => join(folder, 'node_modules', name);
  const workspaces = PACKAGES.flatMap((name) => ['--workspace', `packages/${name}`]);
  await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder, ...workspaces], {
    cwd: root,
  });
  const manifests: Manifest[] = [];
  for (const name of PACKAGES) {
    const { name: full, version } = await manifestOf(join(root, 'packages', name));
    await mkdir(at(full), { recursive: true });
    const tarball = `${full.replace('@', '').replace('/', '-')}-${version}.tgz`;
    await run('tar', ['xzf', join(folder, tarball), '-C', at(full), '--strip-components', '1']);
    await rm(join(folder, tarball));
    manifests.push(await manifestOf(at(full)));
  }
  const ours = new Set(manifests.map(({ name }) => name));
  const others = manifests.flatMap(({ dependencies = {} }) => Object.keys(dependencies));
  // TypeScript's own: a project for Node has them.
  for (const name of new Set([...others.filter((other) => !ours.has(other)), '@types/node'])) {
    await mkdir(dirname(at(name)), { recursive: true });
    await symlink(join(root, 'node_modules', name), at(name));
  }
  const dependencies = Object.fromEntries(
    manifests.filter(({ name }) => name === 'llava-sp').map(({ name, version }) => [name, version]),
  );
  return {
    async create(name, files) {
      const project = join(folder, name);
      const manifest = { name, private: true, type: 'module', dependencies };
      for (const [file, text] of Object.entries({ 'package.json': JSON.stringify(manifest), ...files })) {
        await mkdir(dirname(join(project, file)), { recursive: true });
        await writeFile(join(project, file), text);
      }
      return project;
    },
    async run(project, command, args) {
      const { stdout } = await run(command, args, { cwd: project, timeout: 90_000 });
      return stdout;
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
}
