/** An HTTP server that speaks OpenAI's API for one loaded model. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ArgumentError, DeviceError, type Answer, type Model } from '@llava-sp/node';
import { allowOrigin, checkHost, checkKey, hasKey } from './access.ts';
import { Admission } from './admission.ts';
import { Budget, checkLength, parseJson, readBody } from './body.ts';
import { sendAnswer, sendJson } from './completions.ts';
import { ApiError, toApiError } from './errors.ts';
import { readImage, type RemoteImages } from './images.ts';
import { parseRequest } from './request.ts';

export interface ServeOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** What requests call the model. */
  readonly name: string;
  readonly apiKey?: string;
  /** Requests that may wait, beside the one that is being answered. */
  readonly maxQueue: number;
  /** Bytes of a request's body. */
  readonly maxBody: number;
  readonly remoteImages: RemoteImages;
  /** The origin whose pages may read answers; `*`: all. */
  readonly cors?: string;
  /** Milliseconds in which a request's head, and all of it, must have come. */
  readonly headTime?: number;
  readonly bodyTime?: number;
  /** Hears one line of each request: nothing of what was asked or answered. */
  readonly log?: (line: string) => void;
  /** Hears that the model can't answer any more. */
  readonly onFailure?: (error: DeviceError) => void;
}

/** Bodies, and pictures fetched, of the largest size that may be in memory at once. */
const BODIES = 8;
/** Far more than any desktop's clients open. */
const MAX_CONNECTIONS = 512;
/** Milliseconds that a connection is heard out behind an answer that came before its request's end. */
const DRAIN_TIME = 1000;

/** A server that listens. */
export class Service {
  readonly #model: Pick<Model, 'ask'>;
  readonly #options: ServeOptions;
  readonly #server: Server;
  readonly #admission: Admission;
  readonly #budget: Budget;
  /** Every open connection, and how many requests of it are being served. */
  readonly #connections = new Map<Socket, number>();
  readonly #created = Math.floor(Date.now() / 1000);
  /** Ends all work when the server has waited long enough for it. */
  readonly #ending = new AbortController();
  #closing: Promise<void> | null = null;
  #failed = false;

  private constructor(model: Pick<Model, 'ask'>, options: ServeOptions) {
    this.#model = model;
    this.#options = options;
    this.#admission = new Admission(options.maxQueue);
    this.#budget = new Budget(BODIES * options.maxBody);
    const { headTime = 15_000, bodyTime = 60_000 } = options;
    this.#server = createServer(
      {
        headersTimeout: Math.min(headTime, bodyTime),
        requestTimeout: bodyTime,
        connectionsCheckingInterval: Math.min(2000, headTime),
        keepAliveTimeout: 10_000,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response, () => response.writeContinue());
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#connections.set(socket, 0);
      socket.once('close', () => this.#connections.delete(socket));
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket));
  }

  /** @throws {ArgumentError} `ADDRESS_UNAVAILABLE`. */
  static async start(model: Pick<Model, 'ask'>, options: ServeOptions): Promise<Service> {
    const service = new Service(model, options);
    const server = service.#server;
    const { host, port } = options;
    await new Promise<void>((done, fail) => {
      server.once('error', (cause) =>
        fail(
          new ArgumentError({
            code: 'ADDRESS_UNAVAILABLE',
            message: `No server can listen on port ${port} of ${host}.`,
            fix: 'Choose another --port, or --port 0 for one that is free, or a --host of this machine.',
            cause,
          }),
        ),
      );
      server.listen(port, host, done);
    });
    return service;
  }

  /** What clients call `baseURL`. */
  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/v1`;
  }

  /** Requests being answered or waiting, and bytes of their bodies. */
  get load(): { readonly requests: number; readonly bytes: number } {
    return { requests: this.#admission.inside, bytes: this.#budget.taken };
  }

  /** Takes no more requests, and lets those that are here end; what goes on after `grace` milliseconds is cancelled. */
  close(grace = 10_000): Promise<void> {
    this.#closing ??= Promise.resolve().then(() => this.#close(grace));
    return this.#closing;
  }

  async #close(grace: number): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    // Not by closeIdleConnections: one that has not asked yet is not idle to it.
    for (const socket of this.#connections.keys()) this.#count(socket, 0);
    const timer = setTimeout(() => this.#ending.abort(closing()), grace);
    // Answers that are cancelled still send their last words.
    const last = setTimeout(() => this.#server.closeAllConnections(), grace + 2000);
    await closed;
    clearTimeout(timer);
    clearTimeout(last);
  }

  async #serve(request: IncomingMessage, response: ServerResponse, proceed?: () => void): Promise<void> {
    const began = performance.now();
    const work: Work = { note: '' };
    const { socket } = request;
    this.#count(socket, 1);
    response.setHeader('x-request-id', `req_${randomUUID()}`);
    response.setHeader('cache-control', 'no-store');
    response.setHeader('x-content-type-options', 'nosniff');
    if (this.#closing) response.setHeader('connection', 'close');
    const ended = new Promise((done) => response.once('close', done));
    try {
      await this.#route(request, response, work, proceed);
    } catch (error) {
      const known = toApiError(error);
      work.note += `, ${known.code}`;
      if (known.status === 500) this.#options.log?.(`error: ${describe(error)}`);
      // A stream has its error in itself.
      if (!response.headersSent) this.#refuse(request, response, known);
      if (error instanceof DeviceError && error.code === 'WORKER_FAILED') this.#fail(error);
    }
    await ended;
    this.#count(socket, -1);
    const time = Math.round(performance.now() - began);
    const status = response.writableFinished ? response.statusCode : 'client gone';
    const path = (request.url ?? '').split('?', 1)[0].slice(0, 100);
    this.#options.log?.(
      `${new Date().toISOString()} ${request.method} ${JSON.stringify(path).slice(1, -1)} ${status}, ${time} ms${work.note}`,
    );
  }

  /** Counts requests of a connection; one that serves none is closed when the server is. */
  #count(socket: Socket, more: number): void {
    const requests = (this.#connections.get(socket) ?? 0) + more;
    if (this.#connections.has(socket)) this.#connections.set(socket, requests);
    if (this.#closing && requests === 0) socket.destroySoon();
  }

  #refuse(request: IncomingMessage, response: ServerResponse, { status, body, headers }: ApiError): void {
    if (request.complete) return sendJson(response, status, body, headers);
    // The rest of it is on its way, and is read for a while: closed at once, the client would not see the answer.
    sendJson(response, status, body, { ...headers, connection: 'close' });
    request.resume();
    setTimeout(() => request.destroy(), DRAIN_TIME).unref();
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    work: Work,
    proceed: (() => void) | undefined,
  ): Promise<void> {
    const { host, apiKey, cors } = this.#options;
    const path = (request.url ?? '').split('?', 1)[0];
    // Who has the key is no page that happens to be open; /health answers those without it as well.
    const open = apiKey === undefined || (path === '/health' && !hasKey(request, apiKey));
    if (open) checkHost(request, host);
    if (cors !== undefined && allowOrigin(request, response, cors)) return;
    if (path === '/health') {
      allow(request, 'GET');
      const status = this.#failed ? 'failed' : this.#closing ? 'closing' : 'ok';
      const { inside } = this.#admission;
      return sendJson(response, status === 'ok' ? 200 : 503, {
        status,
        ...((apiKey === undefined || !open) && { model: this.#options.name }),
        requests: inside,
      });
    }
    if (apiKey !== undefined) checkKey(request, apiKey);
    if (path === '/v1/models') {
      allow(request, 'GET');
      return sendJson(response, 200, { object: 'list', data: [this.#card()] });
    }
    if (path.startsWith('/v1/models/')) {
      allow(request, 'GET');
      this.#checkModel(decoded(path.slice('/v1/models/'.length)));
      return sendJson(response, 200, this.#card());
    }
    if (path === '/v1/chat/completions') {
      allow(request, 'POST');
      return this.#complete(request, response, work, proceed);
    }
    throw new ApiError(
      404,
      'not_found',
      'There is nothing at this address; see /v1/chat/completions and /v1/models.',
    );
  }

  async #complete(
    request: IncomingMessage,
    response: ServerResponse,
    work: Work,
    proceed: (() => void) | undefined,
  ): Promise<void> {
    if (this.#closing) throw closing();
    // A page of any origin may send other types without being asked.
    if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
      throw new ApiError(415, 'unsupported_media_type', 'The body must be application/json.');
    }
    if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
      throw new ApiError(415, 'unsupported_media_type', 'The body must not be compressed.');
    }
    this.#admission.check();
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    const signal = AbortSignal.any([gone.signal, this.#ending.signal]);
    const { maxBody, remoteImages } = this.#options;
    let held = 0;
    const take = (bytes: number): void => {
      this.#budget.take(bytes);
      held += bytes;
    };
    try {
      checkLength(request, maxBody);
      proceed?.();
      // Without a name: the bytes may go while the request waits.
      const wanted = parseRequest(parseJson(await readBody(request, maxBody, take)));
      this.#checkModel(wanted.model);
      const leave = this.#admission.enter();
      let answer: Answer | null = null;
      try {
        const image = await readImage(wanted.image, remoteImages, maxBody, take, signal);
        answer = this.#model.ask(image, wanted.turns, { ...wanted.options, signal });
        await sendAnswer(response, wanted, answer);
      } finally {
        const took = answer ? answer.timings.total - answer.timings.queued : 0;
        leave(took);
        if (answer) work.note = noteOf(answer);
      }
    } finally {
      this.#budget.give(held);
    }
  }

  #card(): object {
    return { id: this.#options.name, object: 'model', created: this.#created, owned_by: 'llava-sp' };
  }

  #checkModel(name: string): void {
    const { name: own } = this.#options;
    if (name === own) return;
    throw new ApiError(404, 'model_not_found', `There is no such model; this server's is "${own}".`, {
      param: 'model',
    });
  }

  #fail(error: DeviceError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure?.(error);
  }
}

function closing(): ApiError {
  return new ApiError(503, 'closing', 'The server is being stopped.');
}

/** What the log says of a request besides. */
interface Work {
  note: string;
}

function noteOf({ timings, usage, finishReason }: Answer): string {
  const tokens = `${usage.promptTokens} + ${usage.completionTokens} tokens`;
  return `, ${Math.round(timings.queued)} ms queued, ${tokens}, ${finishReason ?? 'not ended'}`;
}

function allow({ method }: IncomingMessage, allowed: 'GET' | 'POST'): void {
  if (method === allowed || (method === 'HEAD' && allowed === 'GET')) return;
  throw new ApiError(405, 'method_not_allowed', `This address takes ${allowed}.`, {
    headers: { allow: allowed },
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function describe(error: unknown): string {
  const inner = error instanceof ApiError ? error.cause : error;
  return inner instanceof Error ? (inner.stack ?? inner.message) : String(inner);
}

/** What is no HTTP, or comes too slowly. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, reason, code] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ([408, 'Request Timeout', 'timeout'] as const)
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ([431, 'Request Header Fields Too Large', 'headers_too_large'] as const)
        : ([400, 'Bad Request', 'bad_request'] as const);
  const body = JSON.stringify(new ApiError(status, code, `${reason}.`).body);
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
