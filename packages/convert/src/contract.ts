/**
 * What joins the two halves of a conversion: reading published checkpoints ends in a {@link Plan}, writing an on-device
 * folder starts from one.
 */
import type { ModelFiles } from '@llava-sp/core';

/** What a tensor belongs to; each part has a quantisation of its own. `embeddings` are `embed_tokens` and `lm_head`. */
export type Part = 'vision' | 'projector' | 'sfe' | 'detail' | 'llm' | 'embeddings';

/** All parts, in the order in which they are reported. */
export const parts: readonly Part[] = ['vision', 'projector', 'sfe', 'detail', 'llm', 'embeddings'];

export type FloatDType = 'F32' | 'F16' | 'BF16';

/** A float tensor of a published file, row-major. */
export interface SourceTensor {
  /** As the file spells it. */
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  /** Of the dense tensor, in `dtype`. */
  readonly bytes: number;
  /**
   * The little-endian bytes of rows `[rowBegin, rowEnd)` of the leading dimension, dense also where the file stores them
   * strided. The result may be a view at an odd byte offset.
   *
   * @throws {LoadError} `FILE_UNREADABLE`.
   */
  read(rowBegin: number, rowEnd: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/** `W + scale * B A`, B `[out, rank]`, A `[rank, in]`. */
export interface LoraUpdate {
  readonly a: SourceTensor;
  readonly b: SourceTensor;
  readonly scale: number;
}

/** One on-device tensor: where its values come from, and what is done to them, all in float32 and row by row. */
export interface PlannedTensor {
  /** On-device, with `.weight` or `.bias`. */
  readonly name: string;
  readonly part: Part;
  /** Matrices (convolutions among them) may be quantised; vectors (norms, biases, positions, class token) stay floats. */
  readonly kind: 'matrix' | 'vector';
  /** On-device, before quantisation; convolutions `[out, in, k, k]`. */
  readonly shape: readonly number[];
  /** k of a convolution, 0 otherwise. A convolution is quantised in the order `[out, k, k, in]`. */
  readonly kernel: number;
  /** `null`: zeros. */
  readonly source: SourceTensor | null;
  /** Rows of `source`: `rows[1] - rows[0]` is `shape[0]`, and a row of the source has the elements of a row of `shape`. */
  readonly rows: readonly [number, number];
  readonly lora: LoraUpdate | null;
  /** LayerScale, `[shape[0]]`: each row times this vector's element (after `lora`). */
  readonly rowScale: SourceTensor | null;
}

/** How a model is talked to: the chat template to write. */
export type PromptFamily = 'vicuna_v1' | 'chatml' | 'internvl' | 'mistral';

export type TokenizerSource = PublishedTokenizer | ReadyTokenizer;

export interface PublishedTokenizer {
  /** The folder that holds the tokenizer's files. */
  readonly files: ModelFiles;
  /** `tokenizer.json`; `tokenizer.model`; or `vocab.json` with `merges.txt` (byte-level BPE) and `added_tokens.json`. */
  readonly form: 'json' | 'sentencepiece' | 'bpe';
  /** The token that stands for the image. `absent`: the tokenizer lacks it, and it is to be added under this id. */
  readonly image: { readonly token: string; readonly id: number; readonly absent: boolean };
  readonly prompt: PromptFamily;
}

/** `tokenizer.json` and `tokenizer_config.json` of an on-device folder, kept as they are. */
export interface ReadyTokenizer {
  readonly files: ModelFiles;
  readonly form: 'ready';
}

/** A file or folder that the conversion reads. */
export interface SourceFile {
  /** Folder or address. */
  readonly location: string;
  readonly name: string;
  /** In bytes. */
  readonly size: number;
}

/** Everything an on-device folder is made from. Nothing but headers is in memory. */
export interface Plan {
  /** For people: which published layout this is, as "LLaVA-SP, LoRA on a base model". */
  readonly layout: string;
  /** For people: which member of the family, as "cropping, N = 6, DFI k = 16". */
  readonly variant: string;
  /** On-device `config.json`, without `quantization`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** On-device `preprocessor_config.json`. */
  readonly preprocessor: Readonly<Record<string, unknown>>;
  /** `generation_config.json`. */
  readonly generation: Readonly<Record<string, unknown>>;
  readonly tokenizer: TokenizerSource;
  /** In the order in which the model uses them. */
  readonly tensors: readonly PlannedTensor[];
  /** Tensors of the published files that nothing needs. */
  readonly leftover: readonly string[];
  /** As the source states it, an SPDX-like id or a name; `null` when it does not. */
  readonly license: string | null;
  readonly sources: readonly SourceFile[];
  /** Releases every file. */
  close(): Promise<void>;
}

/** Where a conversion reads from. */
export interface PlanSources {
  /** The published folder: a whole model, or a LoRA folder. */
  readonly checkpoint: ModelFiles;
  /** The language model that a LoRA folder is trained on. */
  readonly base?: ModelFiles;
  /** The vision tower, when it is not inside the checkpoint. */
  readonly visionTower?: ModelFiles;
}
