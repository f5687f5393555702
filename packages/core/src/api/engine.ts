/**
 * The seam between the API and where a model runs: in this thread ({@link LocalEngine}), or behind a worker
 * (`remote/`). Model, Scene, Answer, Chat and the tasks are written once over it.
 */
import type { BackendMemory, BackendReport, Choice, Warning } from '../backend/index.ts';
import type { Geometry } from '../image/boxes.ts';
import type { ModelConfig } from '../models/config.ts';
import type { FinishReason, Piece } from '../pipeline/generate.ts';
import type { WeightSummary } from '../pipeline/load_weights.ts';
import type { Prompt } from '../pipeline/prompt.ts';
import type { Explanation } from './explain.ts';
import type { ReadPixels, TakenImage } from './image.ts';
import type { AskOptions } from './options.ts';

/** What runs, where, and why. */
export interface ModelInfo {
  /** As `LLaVA-SP-Cropping`. */
  readonly name: string;
  /** The folder, address or hub id that it was loaded from. */
  readonly location: string;
  /** What `config.json` says, checked. */
  readonly config: ModelConfig;
  /** Visual tokens of an image: spatial ones, then patches. The most that there can be, where it depends on the image. */
  readonly visualTokens: number;
  /** The most tiles that an image is cut into, that of the whole included; 1: it is not cut. */
  readonly tiles: number;
  /** Bytes of the weights by format. */
  readonly weights: WeightSummary;
  /** What it runs on. */
  readonly backend: BackendReport;
  /** Every choice that was made, device first, with its reason. */
  readonly choices: readonly Choice[];
  /** What did not go as hoped, from the load until now. */
  readonly warnings: readonly Warning[];
  /** Milliseconds that loading took. */
  readonly loadTime: number;
}

/** Tokens of one answer. `cached` ones were in the KV cache already and cost nothing. */
export interface Usage {
  /** Of the whole prompt, the image's included. */
  readonly promptTokens: number;
  /** The image's part of them. */
  readonly imageTokens: number;
  /** The part of them that was in the KV cache. */
  readonly cachedTokens: number;
  /** Of the answer. */
  readonly completionTokens: number;
}

/** Milliseconds of one answer; 0 for what was not needed. */
export interface Timings {
  /** Waiting for earlier questions to this model. */
  readonly queued: number;
  /** Decoding and resizing the image. */
  readonly image: number;
  /** Vision tower, spatial features, projectors, and the image's prefix in the language model. */
  readonly vision: number;
  /** From the question's tokens to the first token of the answer. */
  readonly prefill: number;
  /** The other tokens. */
  readonly decode: number;
  /** From the call to the end, waiting included. */
  readonly total: number;
  /** Of decoding; 0 for an answer of less than two tokens. */
  readonly tokensPerSecond: number;
}

/** The picture that an answer is about. */
export interface AskedPicture {
  /** Of the source, in pixels, upright. */
  readonly width: number;
  /** Of the source, in pixels, upright. */
  readonly height: number;
  /** How the source became the model's input: what boxes in answers are mapped back by. */
  readonly geometry: Geometry;
}

/** What is known of an answer, while it comes and in the end. */
export interface AnswerState {
  /** Tokens so far. */
  readonly usage: Usage;
  /** Milliseconds so far. */
  readonly timings: Timings;
  /** `null` while it has not ended, or when it failed. */
  readonly finishReason: FinishReason | null;
  /** Known before the first text. */
  readonly picture: AskedPicture | null;
  /** With `explain`, known before the first text. */
  readonly explanation: Explanation | null;
}

/** An answer that has come to its end. */
export interface Answered {
  readonly state: AnswerState;
  /**
   * The tokens behind the image, of question and answer, for the next turn of a conversation; `null` where they say something
   * else than the answer's text, which was cut at a stop string.
   */
  readonly said: readonly number[] | null;
}

/** Names a scene that an engine keeps. */
export type SceneId = number;

/** Milliseconds of looking at a picture. */
export interface LookTimings {
  /** Decoding and resizing it. */
  readonly preprocess: number;
  /** Vision tower, spatial features and projectors. */
  readonly vision: number;
  /** Its prefix in the language model. */
  readonly prefix: number;
}

/** A picture that an engine keeps. */
export interface Looked extends AskedPicture {
  /** By which questions name it. */
  readonly id: SceneId;
  /** Milliseconds. */
  readonly timings: LookTimings;
  /** Where the model looks on it. */
  readonly explanation: Explanation;
}

export interface LookRequest {
  /** A picture, which may still be on its way. */
  readonly image: TakenImage | Promise<TakenImage>;
  /** A prompt that begins as those of the questions on it will. */
  readonly like: Prompt;
}

export interface AnswerRequest {
  /** As for looking, or a scene that was looked at. */
  readonly image: TakenImage | Promise<TakenImage> | SceneId;
  readonly prompt: Prompt;
  /** The signal apart. */
  readonly options: AskOptions;
  /** For a turn of a conversation: what {@link Answered.said} of the turn before. Such questions reuse the KV cache. */
  readonly turn?: { readonly said: readonly number[] | null };
}

/** Hears of an answer while it comes. */
export interface AnswerListener {
  emit(piece: Piece): void;
  /** Tells how to look up what has been done so far. */
  observe(state: () => AnswerState): void;
}

/**
 * One loaded model. Calls come in any order and number; questions and looks are worked on one at a time, in the order of the
 * calls. Errors are those of the SDK; after an abort they are `AbortedError`, at once.
 */
export interface Engine {
  /** As it is now. */
  readonly info: ModelInfo;
  /** The platform's pictures, read in the caller's thread. */
  readonly readPixels: ReadPixels;
  look(request: LookRequest, signal: AbortSignal): Promise<Looked>;
  answer(request: AnswerRequest, listener: AnswerListener, signal: AbortSignal): Promise<Answered>;
  /** The scene will not be asked about any more. */
  release(scene: SceneId): void;
  memory(): Promise<BackendMemory>;
  /** Frees everything. The caller has aborted its signals. */
  dispose(): Promise<void>;
}
