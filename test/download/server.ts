/** A loopback server of model folders whose answers go wrong as a test asks. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readFileSync, statSync } from 'node:fs';
import send from 'send';

/** What is wrong with one answer; `at` is a byte of the body, from 0 to 1 of its length. */
export type Fault =
  /** The connection ends. */
  | { readonly kind: 'drop'; readonly at: number; readonly validator?: boolean }
  /** Nothing more comes. */
  | { readonly kind: 'stall'; readonly at: number }
  /** The body ends early, and the length says so, too. */
  | { readonly kind: 'truncate'; readonly at: number }
  /** The length says so many bytes more (or fewer). */
  | { readonly kind: 'length'; readonly by: number }
  /** 206, but from another byte than was asked for. */
  | { readonly kind: 'range'; readonly by: number }
  /** 206 as it should be, with other bytes. */
  | { readonly kind: 'bytes'; readonly at: number }
  /** The whole file with status 206 and a range that claims it was asked for. */
  | { readonly kind: 'ignore-range' }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string }
  | { readonly kind: 'redirect'; readonly to?: string }
  | { readonly kind: 'gzip' }
  | { readonly kind: 'no-validator' };

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface FaultServer {
  /** `http://127.0.0.1:port`. */
  readonly origin: string;
  /** All requests, in order. */
  readonly asked: Asked[];
  /** Decides what is wrong with an answer. */
  fault: (asked: Asked) => Fault | null;
  /** Sees every answer's headers before they go. */
  headers: (asked: Asked, response: ServerResponse) => void;
  close(): Promise<void>;
}

/** @param root the folder that is `/`. */
export async function startServer(root: string): Promise<FaultServer> {
  const asked: Asked[] = [];
  const self = { fault: () => null, headers: () => undefined } as Pick<FaultServer, 'fault' | 'headers'>;
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://loopback').pathname);
    const { range, authorization } = request.headers;
    const one = { method: request.method ?? '', path, range, authorization };
    asked.push(one);
    self.headers(one, response);
    const fault = self.fault(one);
    if (fault) answerWrongly(request, response, join(root, path), fault);
    else {
      // By itself it takes back the headers for other origins.
      const failed = ({ status }: { status?: number }): void => void response.writeHead(status ?? 500).end();
      send(request, path, { root }).on('error', failed).pipe(response);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return Object.assign(self, {
    origin: `http://127.0.0.1:${port}`,
    asked,
    close: () => shut(server),
  });
}

function shut(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((done) => void server.close(() => done()));
}

function answerWrongly(request: IncomingMessage, response: ServerResponse, path: string, fault: Fault): void {
  if (fault.kind === 'status') {
    if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
    response.writeHead(fault.status).end('no');
    return;
  }
  if (fault.kind === 'redirect') {
    response.writeHead(302, { location: fault.to ?? request.url ?? '/' }).end();
    return;
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) {
    response.writeHead(404).end();
    return;
  }
  const whole = readFileSync(path);
  const asked = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? -1);
  const ranged = asked >= 0 && asked < whole.length;
  const begin = ranged ? asked : 0;
  let body = whole.subarray(begin);
  const headers: Record<string, string | number> = {
    etag: `W/"${stat.size.toString(16)}-${stat.mtime.getTime().toString(16)}"`,
    'content-type': 'application/octet-stream',
  };
  if (ranged) headers['content-range'] = `bytes ${begin}-${whole.length - 1}/${whole.length}`;
  headers['content-length'] = body.length;
  const cut = 'at' in fault ? Math.min(Math.floor(fault.at * body.length), body.length) : body.length;
  switch (fault.kind) {
    case 'truncate':
      body = body.subarray(0, cut);
      headers['content-length'] = cut;
      if (ranged) headers['content-range'] = `bytes ${begin}-${begin + cut - 1}/${begin + cut}`;
      break;
    case 'length':
      headers['content-length'] = Math.max(body.length + fault.by, 0);
      body = body.subarray(0, Math.max(body.length + fault.by, 0));
      break;
    case 'range':
      if (!ranged) break;
      body = whole.subarray(Math.max(begin + fault.by, 0));
      headers['content-range'] = `bytes ${whole.length - body.length}-${whole.length - 1}/${whole.length}`;
      headers['content-length'] = body.length;
      break;
    case 'bytes':
      body = Buffer.from(body);
      if (cut < body.length) body[cut] ^= 0x40;
      break;
    case 'ignore-range':
      if (!ranged) break;
      body = whole;
      headers['content-length'] = whole.length;
      break;
    case 'gzip':
      body = gzipSync(body);
      headers['content-encoding'] = 'gzip';
      headers['content-length'] = body.length;
      break;
    case 'no-validator':
      delete headers.etag;
      break;
    case 'drop':
      if (fault.validator === false) delete headers.etag;
      break;
    case 'stall':
  }
  response.writeHead(ranged ? 206 : 200, headers);
  if (request.method === 'HEAD') {
    response.end();
  } else if (fault.kind === 'drop') {
    response.write(body.subarray(0, cut), () => response.destroy());
  } else if (fault.kind === 'stall') {
    response.write(body.subarray(0, cut));
  } else if (fault.kind === 'length' && fault.by > 0) {
    response.write(body, () => response.destroy());
  } else {
    response.end(body);
  }
}
