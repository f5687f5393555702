import { packError } from '../../errors/wire.ts';
import type { Host } from '../../host.ts';
import type { WorkerScope } from '../../backends/wasm/serve.ts';
import { doctor } from '../doctor.ts';
import type { Answered, AnswerListener, AnswerState, ModelInfo } from '../engine.ts';
import type { TakenImage } from '../image.ts';
import { loadEngine } from '../load.ts';
import type { LocalEngine } from '../local.ts';
import {
  unpackSource,
  type Event,
  type FromWorker,
  type Request,
  type SentImage,
  type ToWorker,
} from './protocol.ts';

/**
 * Serves one model, or one `doctor`, to a page that calls `loadRemote` or `doctorRemote`. Called once by an adapter's worker
 * file, before the first message comes.
 */
export function serveModel(scope: WorkerScope, host: Host): void {
  const post = (message: FromWorker): void => scope.post(message, []);
  const server = new Server(host, post);
  scope.onMessage((message) => server.hear(message as ToWorker));
}

class Server {
  readonly #host: Host;
  readonly #post: (message: FromWorker) => void;
  #engine: LocalEngine | null = null;
  /** By request, while it is worked on. */
  readonly #running = new Map<
    number,
    { readonly controller: AbortController; readonly end: Promise<void> }
  >();
  /** Who waits for a picture that the page still reads. */
  readonly #awaited = new Map<number, (image: TakenImage) => void>();

  constructor(host: Host, post: (message: FromWorker) => void) {
    this.#host = host;
    this.#post = post;
  }

  hear(message: ToWorker): void {
    switch (message.type) {
      case 'abort':
        this.#running.get(message.id)?.controller.abort();
        return;
      case 'image':
        this.#awaited.get(message.id)?.(message.image);
        return;
      case 'release':
        this.#engine?.release(message.scene);
        return;
      default: {
        const controller = new AbortController();
        const end = this.#serve(message, controller.signal);
        this.#running.set(message.id, { controller, end });
      }
    }
  }

  async #serve(request: Request & { readonly id: number }, signal: AbortSignal): Promise<void> {
    const { id } = request;
    let reply: FromWorker;
    try {
      const tell = (event: Event): void => {
        if (!signal.aborted) this.#post({ type: 'event', id, event });
      };
      reply = { type: 'done', id, value: await this.#work(request, tell, signal) };
    } catch (error) {
      reply = { type: 'failed', id, error: packError(error) };
    }
    this.#running.delete(id);
    this.#awaited.delete(id);
    try {
      this.#post(reply);
    } catch (error) {
      // What can't be cloned: the page would wait for it for ever.
      this.#post({ type: 'failed', id, error: packError(error) });
    }
  }

  /** What is wrong comes out of the promise, never of the call. */
  async #work(
    request: Request & { readonly id: number },
    tell: (event: Event) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    switch (request.type) {
      case 'load':
        return this.#load(request, tell, signal);
      case 'doctor':
        return doctor(this.#host, {
          ...request.options,
          onProgress: (row, done, total) => tell({ type: 'row', row, done, total }),
          signal,
        });
      case 'look':
        return this.#loaded().look(
          { image: this.#imageOf(request.id, request.image), like: request.like },
          signal,
        );
      case 'answer':
        return this.#answer(request, tell, signal);
      case 'memory':
        return this.#loaded().memory();
      case 'dispose':
        return this.#dispose(request.id);
      default:
        return request satisfies never;
    }
  }

  async #load(
    { source, options }: Extract<Request, { type: 'load' }>,
    tell: (event: Event) => void,
    signal: AbortSignal,
  ): Promise<ModelInfo> {
    this.#engine = await loadEngine(this.#host, unpackSource(source), {
      ...options,
      signal,
      onProgress: (progress) => tell({ type: 'progress', progress }),
      onWarning: (warning) => this.#post({ type: 'warning', warning, info: this.#engine?.info ?? null }),
    });
    return this.#engine.info;
  }

  #answer(
    { id, image, prompt, options, turn }: Extract<Request, { type: 'answer' }> & { readonly id: number },
    tell: (event: Event) => void,
    signal: AbortSignal,
  ): Promise<Answered> {
    const about = typeof image === 'number' ? image : this.#imageOf(id, image);
    let look: (() => AnswerState) | null = null;
    const listener: AnswerListener = {
      observe: (state) => {
        look = state;
        tell({ type: 'state', state: state() });
      },
      emit: (piece) => {
        const state = look?.();
        if (state) tell({ type: 'piece', piece, usage: state.usage, timings: state.timings });
      },
    };
    return this.#loaded().answer({ image: about, prompt, options, turn }, listener, signal);
  }

  /** The rest of the worker's work ends first: what is disposed of is not in use. */
  async #dispose(own: number): Promise<void> {
    const others = [...this.#running].filter(([id]) => id !== own).map(([, running]) => running);
    for (const { controller } of others) controller.abort();
    await Promise.all([this.#engine?.dispose(), ...others.map(({ end }) => end)]);
  }

  #imageOf(id: number, image: SentImage): TakenImage | Promise<TakenImage> {
    return image === 'later' ? new Promise((resolve) => this.#awaited.set(id, resolve)) : image;
  }

  #loaded(): LocalEngine {
    if (this.#engine) return this.#engine;
    throw new Error('no model is loaded in this worker');
  }
}
