/** A server that closes every connection behind its body, as those of HTTP/1.0 do, while the reader is still busy. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { downloadModel } from '../../packages/core/src/download/model.ts';
import { parseRemote } from '../../packages/core/src/download/remote.ts';
import type { ModelStore } from '../../packages/core/src/host.ts';
import { fetchImage } from '../../packages/core/src/image/read.ts';
import { nodeFetch } from '../../packages/node/src/fetch.ts';
import { holds, makeFolder, storeIn, temporary } from './folder.ts';

vi.mock('@llava-sp/core', () => import('./core.ts'));

const folder = makeFolder(3, { shards: [4_000_000, 1_000_000] });

let scratch: Awaited<ReturnType<typeof temporary>>;
let server: Server;
let origin: string;

beforeAll(async () => {
  scratch = await temporary();
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data) => {
      const [method, path] = data.toString().split(' ');
      const body = folder[path.slice(1)];
      const status = body ? '200 OK' : '404 Not Found';
      socket.write(`HTTP/1.0 ${status}\r\nContent-Length: ${body?.length ?? 0}\r\nConnection: close\r\n\r\n`);
      if (method === 'GET' && body) socket.end(body);
      else socket.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await new Promise((done) => server.close(done));
  await scratch.remove();
});

const pause = () => new Promise((done) => setTimeout(done, 2));

/** A disk that takes its time. */
function slow(store: ModelStore): ModelStore {
  const append: ModelStore['append'] = async (...args) => {
    const file = await store.append(...args);
    return {
      get size() {
        return file.size;
      },
      write: (bytes) => pause().then(() => file.write(bytes)),
      reset: () => file.reset(),
      close: () => file.close(),
    };
  };
  return { ...store, append };
}

test('a download on a slow disk', async () => {
  const place = { store: slow(storeIn(join(scratch.path, 'kept'))), fetch: nodeFetch };
  expect(await holds(await downloadModel(place, parseRemote(origin)), folder)).toBe(true);
});

test('a picture', async () => {
  const [name, bytes] = Object.entries(folder).find(([, { length }]) => length > 4_000_000) ?? [];
  const fetched = await fetchImage(`${origin}/${name}`, undefined, nodeFetch);
  expect(Buffer.from(bytes ?? []).equals(fetched)).toBe(true);
});
