// `npm run playground`: installs and builds what is missing, then serves the playground on loopback until it is stopped.
// --port N: another port than 4173; --isolate: with COOP and COEP, so that the CPU's threads can share memory.
import { createServer } from 'node:http';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { install, root, run } from './run.mjs';

const { values } = parseArgs({ options: { port: { type: 'string' }, isolate: { type: 'boolean' } } });
const page = join(root, 'examples/playground');

await install();
const packages = join(root, 'packages/llava-sp/dist/browser.js');
if (!existsSync(packages)) {
  console.error('Building the packages ...');
  await run('node', ['scripts/build.mjs'], { quiet: true });
}
const built = join(page, 'dist/index.html');
if (!existsSync(built) || newest() > statSync(built).mtimeMs) {
  console.error('Building the playground ...');
  await run('vite', ['build', page], { quiet: true });
}
const { servePlayground } = await import('../examples/playground/server.mjs');
const server = createServer(servePlayground(join(page, 'dist'), { isolated: values.isolate }));
server.listen(Number(values.port ?? 4173), '127.0.0.1', () => {
  console.log(`The playground is at http://127.0.0.1:${server.address().port}/`);
});

/** The latest change of what the playground is made of. */
function newest() {
  const folders = [page, join(root, 'packages/llava-sp/dist'), join(root, 'packages/browser/dist')];
  return Math.max(
    ...folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(page, 'dist')))
        .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
    ),
  );
}
