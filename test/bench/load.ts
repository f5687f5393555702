/**
 * `npm run bench:load`: loads a model of about 300 MB in Chromium, over loopback into the origin private file system and
 * then from there, beside what reading that storage alone takes.
 *
 *   --threads N    2 by default
 *   --repeats N    the fastest of so many loads from the cache counts; 5 by default
 */
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { startServer } from '../download/server.ts';
import { withBigModel } from '../support/big_model.ts';
import { openChromium } from '../support/chromium.ts';
import type { LoadFigures, LoadRequest } from './load_in_page.ts';
import { columns } from './table.ts';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, repeats: { type: 'string', default: '5' } },
});
const shape = { hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 9 };

await withBigModel(shape, async (folder) => {
  const server = await startServer(dirname(folder));
  server.headers = (_, response) => response.setHeader('access-control-allow-origin', '*');
  const chromium = await openChromium(new URL('./load_in_page.ts', import.meta.url));
  try {
    const request: LoadRequest = {
      source: `${server.origin}${folder.slice(dirname(folder).length)}`,
      threads: Number(values.threads),
      repeats: Number(values.repeats),
    };
    print(await chromium.run<LoadFigures>(request, 300_000));
  } finally {
    await chromium.close();
    await server.close();
  }
});

function print({ bytes, download, load, read, weights }: LoadFigures): void {
  const mb = bytes / 1e6;
  const rate = (seconds: number): string => `${(mb / seconds).toFixed(0)} MB/s`;
  console.log(
    columns([
      [`${mb.toFixed(0)} MB in Chromium`, 'seconds', 'rate', 'of the storage alone'],
      ['first load, downloaded and hashed', download.toFixed(2), rate(download), ''],
      ['load from the cache, all of it', load.toFixed(2), rate(load), ''],
      ['its weights', weights.toFixed(2), rate(weights), `${((100 * read) / weights).toFixed(0)} %`],
      ['OPFS alone', read.toFixed(2), rate(read), ''],
    ]),
  );
}
