/** What a page and its model's worker say to each other. All of it can be cloned. */
import type { Warning } from '../../backend/index.ts';
import type { DoctorOptions, DoctorRow } from '../../doctor/report.ts';
import { isUrls, type ModelSource, type UrlSource } from '../../download/source.ts';
import type { WireError } from '../../errors/wire.ts';
import type { Piece } from '../../pipeline/generate.ts';
import type { AnswerRequest, AnswerState, LookRequest, ModelInfo, SceneId } from '../engine.ts';
import type { TakenImage } from '../image.ts';
import type { LoadOptions, LoadProgress } from '../options.ts';

/** What stays in the page, or has a message of its own. */
type Listeners = 'signal' | 'onProgress' | 'onWarning' | 'gpu';

/** A picture, or the promise of an `image` message. */
export type SentImage = TakenImage | 'later';

/** URLs can't be cloned. */
export type SentSource =
  | { readonly url: string }
  | { readonly urls: Readonly<Record<string, string>> }
  | { readonly plain: Exclude<ModelSource, URL | UrlSource> };

export type Request =
  | { readonly type: 'load'; readonly source: SentSource; readonly options: Omit<LoadOptions, Listeners> }
  | { readonly type: 'doctor'; readonly options: Omit<DoctorOptions, Listeners> }
  | ({ readonly type: 'look'; readonly image: SentImage } & Omit<LookRequest, 'image'>)
  | ({ readonly type: 'answer'; readonly image: SentImage | SceneId } & Omit<AnswerRequest, 'image'>)
  | { readonly type: 'memory' }
  /** Ends everything; answered when all is free. */
  | { readonly type: 'dispose' };

export type ToWorker =
  | (Request & { readonly id: number })
  | { readonly type: 'image'; readonly id: number; readonly image: TakenImage }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'release'; readonly scene: SceneId };

/** What comes of a request before its end. */
export type Event =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'row'; readonly row: DoctorRow; readonly done: number; readonly total: number }
  | { readonly type: 'state'; readonly state: AnswerState }
  | ({ readonly type: 'piece'; readonly piece: Piece } & Pick<AnswerState, 'usage' | 'timings'>);

export type FromWorker =
  | { readonly type: 'done'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly error: WireError }
  | { readonly type: 'event'; readonly id: number; readonly event: Event }
  /** `info` is `null` while the model loads. */
  | { readonly type: 'warning'; readonly warning: Warning; readonly info: ModelInfo | null };

export function packSource(source: ModelSource): SentSource {
  if (source instanceof URL) return { url: source.href };
  if (!isUrls(source)) return { plain: source };
  return { urls: Object.fromEntries(Object.entries(source).map(([name, url]) => [name, url.href])) };
}

export function unpackSource(sent: SentSource): ModelSource {
  if ('url' in sent) return new URL(sent.url);
  if ('plain' in sent) return sent.plain;
  return Object.fromEntries(Object.entries(sent.urls).map(([name, href]) => [name, new URL(href)]));
}
