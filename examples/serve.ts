/**
 * Serves the examples that run in a browser, each with what belongs beside it: llava-sp.js and a model's folder.
 *
 *   npm run build && node examples/serve.ts
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, extname } from 'node:path';
import { fileURLToPath } from 'node:url';

const EXAMPLES = ['script-module', 'web-worker', 'webcam'];
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** Where a file of an example lies in the repository. */
function fileOf(path: string): string | null {
  const [, example, folder, name] = /^\/([\w-]+)\/(model\/)?([\w.-]*)$/.exec(path) ?? [];
  if (!EXAMPLES.includes(example)) return null;
  if (folder) return `packages/demo-model/model/${name}`;
  if (name === 'llava-sp.js' || name.endsWith('.wasm')) return `packages/browser/dist/${name}`;
  return `examples/${example}/${name || 'index.html'}`;
}

/** Listens on this machine; port 0 is any that is free. */
export function serve(port = 8080): Promise<Server> {
  const server = createServer((request, response) => {
    const path = fileOf(new URL(request.url ?? '/', 'http://page').pathname);
    const reading = path
      ? readFile(new URL(`../${path}`, import.meta.url))
      : Promise.reject(new Error('no example'));
    reading.then(
      (body) => {
        response.setHeader('content-type', TYPES[extname(path ?? '')] ?? 'application/octet-stream');
        response.setHeader('content-length', body.length);
        response.end(request.method === 'HEAD' ? undefined : body);
      },
      () => response.writeHead(404).end(),
    );
  });
  return new Promise((done) => server.listen(port, '127.0.0.1', () => done(server)));
}

if (basename(process.argv[1] ?? '') === basename(fileURLToPath(import.meta.url))) {
  const { port } = (await serve()).address() as AddressInfo;
  for (const example of EXAMPLES) console.log(`http://127.0.0.1:${port}/${example}/`);
}
