// `npm start -- IMAGE QUESTION`: installs and builds what is missing, then asks the demo model.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hand, install, root, run } from './run.mjs';

await install();
if (newest(['packages', 'wasm/dist'], /\/src\/.*\.ts$|\.wasm$|kernels\.inc$/) > built()) {
  console.error('Building ...');
  await run('node', ['scripts/build.mjs'], { quiet: true });
}
const cli = join(root, 'packages/llava-sp/dist/cli.js');
process.exitCode = await hand('node', [cli, 'ask', ...process.argv.slice(2)]);

/** When the last package was built. */
function built() {
  try {
    return statSync(join(root, 'packages/llava-sp/dist/cli.js')).mtimeMs;
  } catch {
    return 0;
  }
}

/** The latest change of a file below the folders. */
function newest(folders, pattern) {
  let latest = 0;
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && pattern.test(path) && !/node_modules|packages\/\w+\/dist\//.test(path)) {
        latest = Math.max(latest, statSync(path).mtimeMs);
      }
    }
  }
  return latest;
}
