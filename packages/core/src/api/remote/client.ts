import type { BackendMemory } from '../../backend/index.ts';
import type { DoctorOptions, DoctorReport } from '../../doctor/report.ts';
import type { ModelSource } from '../../download/source.ts';
import { ArgumentError } from '../../errors/index.ts';
import type { WorkerPort } from '../../host.ts';
import type {
  Answered,
  AnswerListener,
  AnswerRequest,
  AnswerState,
  Engine,
  Looked,
  LookRequest,
  ModelInfo,
  SceneId,
} from '../engine.ts';
import type { ReadPixels, TakenImage } from '../image.ts';
import { disposed, Model } from '../model.ts';
import { checkCommon, checkListeners, without, type LoadOptions } from '../options.ts';
import { Warnings } from '../warnings.ts';
import { Link, sent, type RequestOptions } from './link.ts';
import { packSource, type Request } from './protocol.ts';

/** What a page does itself for a model in a worker. */
export interface PageSide {
  /** As {@link Host.readPixels}. */
  readonly readPixels?: ReadPixels;
  /** What relative addresses of pictures are relative to; by default they are handed on as they are. */
  readonly base?: string;
}

/**
 * Loads a model in a worker that calls `serveModel`; everything of it behaves as in this thread. The worker is the model's
 * alone: it ends with `dispose`, and when loading fails.
 *
 * @throws as `loadModel`; {@link DeviceError} `WORKER_FAILED` when the worker ends; {@link ArgumentError} `OPTION_INVALID`,
 *   too, for options that can't leave this thread, as `gpu`.
 */
export async function loadRemote(
  port: WorkerPort,
  source: ModelSource,
  options: LoadOptions = {},
  page: PageSide = {},
): Promise<Model> {
  let engine: RemoteEngine | null = null;
  const warnings = new Warnings(options?.onWarning);
  const link = new Link(port, ({ warning, info }) => {
    if (info && engine) engine.info = info;
    warnings.add(warning);
  });
  return attempt(link, async () => {
    checkHere(options);
    const { signal, onProgress } = options;
    const plain = without(options, 'signal', 'onProgress', 'onWarning', 'gpu');
    const info = await link.request(
      { type: 'load', source: packSource(source), options: plain },
      { signal, onEvent: (event) => event.type === 'progress' && onProgress?.(event.progress) },
    );
    engine = new RemoteEngine(link, info as ModelInfo, page);
    return new Model(engine);
  });
}

/** `doctor` in a worker that calls `serveModel`; the worker ends with it. @throws as `doctor` and {@link loadRemote}. */
export async function doctorRemote(port: WorkerPort, options: DoctorOptions = {}): Promise<DoctorReport> {
  const link = new Link(port, () => undefined);
  const report = await attempt(link, async () => {
    checkHere(options);
    const { signal, onProgress } = options;
    return link.request(
      { type: 'doctor', options: without(options, 'signal', 'onProgress', 'gpu') },
      { signal, onEvent: (e) => e.type === 'row' && onProgress?.(e.row, e.done, e.total) },
    );
  });
  await link.close(disposed());
  return report as DoctorReport;
}

/** A model behind a worker. */
class RemoteEngine implements Engine {
  readonly #link: Link;
  readonly #page: PageSide;
  info: ModelInfo;

  constructor(link: Link, info: ModelInfo, page: PageSide) {
    this.#link = link;
    this.info = info;
    this.#page = page;
  }

  get readPixels(): ReadPixels {
    return this.#page.readPixels;
  }

  async look({ image, like }: LookRequest, signal: AbortSignal): Promise<Looked> {
    const { image: picture, options } = sent(this.#resolved(image));
    const looked = await this.#link.request(
      { type: 'look', image: picture, like },
      // Nobody else would free it.
      { ...options, signal, onLate: (late) => this.release((late as Looked).id) },
    );
    return looked as Looked;
  }

  async answer(request: AnswerRequest, listener: AnswerListener, signal: AbortSignal): Promise<Answered> {
    const { image, ...rest } = request;
    let state: AnswerState | null = null;
    const onEvent: RequestOptions['onEvent'] = (event) => {
      if (event.type === 'state') state = event.state;
      if (event.type === 'piece' && state) {
        state = { ...state, usage: event.usage, timings: event.timings };
        listener.emit(event.piece);
      }
      const known = state;
      if (known) listener.observe(() => known);
    };
    const ask = async (picture: Extract<Request, { type: 'answer' }>['image'], options: RequestOptions) =>
      (await this.#link.request(
        { type: 'answer', image: picture, ...rest },
        { ...options, signal, onEvent },
      )) as Answered;
    if (typeof image === 'number') return ask(image, {});
    const { image: picture, options } = sent(this.#resolved(image));
    return ask(picture, options);
  }

  release(scene: SceneId): void {
    this.#link.tell({ type: 'release', scene });
  }

  async memory(): Promise<BackendMemory> {
    return (await this.#link.request({ type: 'memory' })) as BackendMemory;
  }

  dispose(): Promise<void> {
    return this.#link.close(disposed());
  }

  /** Relative to the page: the worker's own address is another. */
  #resolved(image: TakenImage | Promise<TakenImage>): TakenImage | Promise<TakenImage> {
    const { base } = this.#page;
    if (image instanceof Promise || image.kind !== 'address' || image.url || base === undefined) return image;
    return URL.canParse(image.address, base)
      ? { ...image, address: new URL(image.address, base).href }
      : image;
  }
}

/** A worker whose work failed is ended; the error does not wait for that. */
async function attempt<T>(link: Link, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    void link.close(disposed()).catch(() => undefined);
    throw error;
  }
}

/** What the worker can't check, as it does not get it. */
function checkHere(options: LoadOptions | DoctorOptions): void {
  checkCommon(options);
  checkListeners(options);
  if (options.gpu === undefined) return;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: 'gpu was given: a GPUDevice can not leave its thread for a worker.',
    fix: 'Leave gpu out, or run in this thread.',
  });
}
