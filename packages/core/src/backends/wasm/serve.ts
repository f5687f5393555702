/** A thread's side: answers requests in order with an {@link Engine}. */
import { DeviceError, LlavaSpError } from '../../errors/index.ts';
import { packError } from '../../errors/wire.ts';
import { Engine } from './engine.ts';
import { probe } from './probe.ts';
import type { Envelope, Reply, Request } from './protocol.ts';

/** How a worker receives and sends messages; each runtime has its own. */
export interface WorkerScope {
  /** Who hears the messages of the thread that started this one. */
  onMessage(listener: (message: unknown) => void): void;
  /** Answers it; `transfer` goes over and is gone here. */
  post(message: unknown, transfer: ArrayBuffer[]): void;
}

/** Serves one thread of the WASM backend. Called once by an adapter's worker file. */
export function serve(scope: WorkerScope): void {
  const thread = new Thread();
  scope.onMessage((message) => {
    const request = message as Envelope;
    const transfer: ArrayBuffer[] = [];
    let reply: Reply;
    try {
      reply = { seq: request.seq, value: thread.answer(request, transfer) };
    } catch (error) {
      // The others wait at a barrier for this thread only when one of the list's commands failed.
      const inStep = !RUNS.has(request.type);
      if (!inStep) thread.fail();
      const told = inStep && error instanceof LlavaSpError ? error : failed(error);
      reply = { seq: request.seq, error: packError(told) };
    }
    scope.post(reply, transfer);
  });
}

const RUNS: ReadonlySet<Request['type']> = new Set(['step', 'run', 'profile']);

class Thread {
  #engine: Engine | null = null;
  readonly #mailboxes = new Map<number, SharedArrayBuffer | null>();

  fail(): void {
    this.#engine?.fail();
  }

  answer(request: Request, transfer: ArrayBuffer[]): unknown {
    if (request.type === 'probe') return request.modules.map(({ variant, module }) => probe(variant, module));
    if (request.type === 'init') {
      this.#engine = new Engine(request);
      return undefined;
    }
    const engine = this.#engine;
    if (!engine) throw new Error('the thread is not initialised');
    switch (request.type) {
      case 'needs':
        return engine.needs(request.workload, request.threads);
      case 'reserve':
        return engine.reserve(request.bytes);
      case 'weight':
        return engine.beginWeight(request.message);
      case 'rows':
        return engine.addRows(request.rows);
      case 'weight-end':
        return engine.endWeight(request.name);
      case 'caches':
        return engine.createCaches(request.caches);
      case 'compile':
        engine.compile(request.id, request.program);
        this.#mailboxes.set(request.id, request.mailbox);
        return undefined;
      case 'release':
        this.#mailboxes.delete(request.id);
        return engine.release(request.id);
      case 'step':
        engine.step(request.id, request.inputs, request.pos);
        return engine.rank === 0 ? this.#collect(engine, request.id, transfer) : undefined;
      case 'begin':
        return engine.begin(request.id, request.inputs, request.pos);
      case 'run':
        return engine.run(request.id, request.from, request.to);
      case 'collect':
        return this.#collect(engine, request.id, transfer);
      case 'profile':
        return engine.profile(request.id);
      case 'save':
        return engine.save(request.snapshot, request.tokens);
      case 'restore':
        return engine.restore(request.snapshot, request.tokens);
      case 'drop':
        return engine.drop(request.snapshot);
      case 'usage':
        return engine.usage();
      default:
        return request satisfies never;
    }
  }

  /** Outputs go into the shared mailbox; without shared memory a copy is sent. */
  #collect(engine: Engine, id: number, transfer: ArrayBuffer[]): Float32Array | undefined {
    const outputs = engine.outputs(id);
    const mailbox = this.#mailboxes.get(id);
    const target = mailbox
      ? new Float32Array(mailbox)
      : new Float32Array(outputs.reduce((n, o) => n + o.length, 0));
    let at = 0;
    for (const output of outputs) {
      target.set(output, at);
      at += output.length;
    }
    if (mailbox) return undefined;
    transfer.push(target.buffer as ArrayBuffer);
    return target;
  }
}

/** An error of its own of a thread, or one that leaves the threads out of step, whatever it was. */
function failed(error: unknown): DeviceError {
  return new DeviceError({
    code: 'WORKER_FAILED',
    message: `A worker thread failed: ${error instanceof Error ? error.message : String(error)}`,
    fix: 'Load the model again; if it recurs, report it with the model used.',
    // Where it happened is lost with the thread.
    cause: error instanceof Error ? new Error(error.stack) : error,
  });
}
