// Builds all packages, in the order of their dependencies, each with its own tsup.config.ts.
import { run } from './run.mjs';

await run('node', ['packages/core/scripts/gen-kernels.mjs']);
await run('node', ['packages/core/scripts/gen-wgsl.mjs']);
for (const name of ['core', 'node', 'deno', 'browser', 'convert', 'llava-sp']) {
  await run('tsup', ['--silent'], { cwd: `packages/${name}` });
  // The self-contained module takes the other files of its package's dist.
  if (name === 'browser') await run('rollup', ['-c', '--silent']);
}
