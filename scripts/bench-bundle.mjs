// `npm run bench:bundle [-- FOLDER]`: the conformance suite and the GPU benches as a folder for a Linux x64 machine that
// has a GPU driver and nothing else, not even the internet. Start run.sh there.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { listPath, parseKernels, renderKernels } from '../packages/core/scripts/gen-kernels.mjs';
import { renderWgsl } from '../packages/core/scripts/gen-wgsl.mjs';
import { root } from './run.mjs';

/** What may be carried to such a machine, in bytes. */
const MOST = 60e6;

/** Where a machine has none of these, they come from here: the Vulkan loader, and what Node, Dawn and drivers link to. */
const LIBRARIES = [
  'libvulkan.so.1',
  'libstdc++.so.6',
  'libgcc_s.so.1',
  'libGLdispatch.so.0',
  'libX11.so.6',
  'libXext.so.6',
  'libxcb.so.1',
  'libXau.so.6',
  'libXdmcp.so.6',
  'libbsd.so.0',
  'libmd.so.0',
];

/** The generated sources as they would be now, for whoever edited a kernel and built nothing since. */
const generated = {
  name: 'generated',
  setup({ onLoad }) {
    onLoad({ filter: /[/]webgpu[/]kernels\.gen\.ts$/ }, () => ({ contents: renderWgsl(), loader: 'ts' }));
    onLoad({ filter: /[/]wasm[/]kernels\.gen\.ts$/ }, () => ({
      contents: renderKernels(parseKernels(readFileSync(listPath, 'utf8'))),
      loader: 'ts',
    }));
  },
};

if (process.platform !== 'linux' || process.arch !== 'x64') {
  throw new Error("The bundle is made of this machine's own libraries: build it on Linux x64.");
}
const folder = resolve(process.argv[2] ?? join(root, '.cache/bench-bundle'));
mkdirSync(join(folder, 'lib'), { recursive: true });
rmSync(join(folder, 'results.json'), { force: true });

await build({
  absWorkingDir: root,
  entryPoints: ['test/bench/gpu_bundle.ts'],
  outfile: join(folder, 'bench.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  logLevel: 'warning',
  plugins: [generated],
});
copyFileSync(join(root, 'scripts/bench-bundle.sh'), join(folder, 'run.sh'));
pack(join(root, 'node_modules/node/bin/node'), 'node.gz', true);
pack(join(root, 'node_modules/webgpu/dist/linux-x64/dawn.node'), 'dawn.node.gz', true);
const known = libraries();
for (const name of LIBRARIES) {
  const path = known.get(name);
  if (path) pack(path, `lib/${name}.gz`, false);
  else if (name === 'libvulkan.so.1') throw new Error(`${name} is missing here: run scripts/install-gpu.sh`);
  else console.error(`${name} is not on this machine: the bundle goes without it`);
}

const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
console.log(`${folder}: ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB of at most ${MOST / 1e6} MB`);
if (bytes > MOST) throw new Error('The bundle is too large.');

/** Compresses a file into the folder, unless it was done before. */
function pack(from, to, symbols) {
  const target = join(folder, to);
  const made = statSync(target, { throwIfNoEntry: false });
  if (made && made.mtimeMs > statSync(from).mtimeMs) return;
  const copy = `${target}.tmp`;
  copyFileSync(from, copy);
  if (symbols) strip(copy);
  writeFileSync(copy, gzipSync(readFileSync(copy), { level: 9 }));
  renameSync(copy, target);
}

/** Names of functions are half a megabyte in Dawn and 18 in Node. */
function strip(path) {
  try {
    execFileSync('strip', [path]);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

/** Paths of this machine's shared libraries, by name. */
function libraries() {
  const list = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  const lines = list.matchAll(/^\s*(\S+) \(libc6,x86-64[^)]*\) => (\S+)$/gm);
  return new Map([...lines].map(([, name, path]) => [name, path]));
}
