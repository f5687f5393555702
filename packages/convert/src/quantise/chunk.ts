import type { FloatDType } from '../contract.ts';
import type { Moments } from './feedback.ts';

/** How the values of a tensor are stored. `tries`: see {@link Quantiser.run}. */
export type Storage =
  | { readonly format: 'f32' }
  | { readonly format: 'f16' }
  | {
      readonly format: 'affine';
      readonly bits: 4 | 8;
      readonly group: number;
      /** Ranges tried for each group; 0 is plain min/max. */
      readonly tries: number;
    };

/** Stored values of any float type, little-endian, at any offset. */
export interface RawFloats {
  readonly bytes: Uint8Array;
  readonly dtype: FloatDType;
}

/** Some rows of one tensor, and what is to become of them. */
export interface Chunk {
  readonly rows: number;
  /** Values of a row. */
  readonly cols: number;
  /** Cells of a convolution's kernel, k * k; 1 for all else. Affine storage puts them first: `[in, cells]` to `[cells, in]`. */
  readonly cells: number;
  /** `null`: zeros. */
  readonly values: RawFloats | null;
  readonly lora: LoraRows | null;
  /** `[rows]`, LayerScale. */
  readonly rowScale: RawFloats | null;
  readonly storage: Storage;
  /** Of what the rows are multiplied by: affine codes are then chosen for the products. `null`: for the weights. */
  readonly moments: Moments | null;
}

/** `scale * B A` for these rows. */
export interface LoraRows {
  readonly rank: number;
  readonly scale: number;
  /** `[rank, cols]`, the same for all chunks of a tensor. */
  readonly a: RawFloats;
  /** Names the tensor: its A is prepared once. */
  readonly key: string;
  /** `[rows, rank]`. */
  readonly b: RawFloats;
}

/** What a chunk became. */
export interface StoredChunk {
  /** Values or codes, as the file holds them. */
  readonly values: Uint8Array<ArrayBuffer>;
  /** `[rows, cols / group]` of f16; empty unless affine. */
  readonly scales: Uint8Array<ArrayBuffer>;
  readonly biases: Uint8Array<ArrayBuffer>;
  /** Sum of the squared differences from the exact values, and of the squared exact values. */
  readonly error: number;
  readonly norm: number;
  /** Whether a value is NaN or infinite. */
  readonly notFinite: boolean;
  /** Whether a value, scale or bias is past f16's range. */
  readonly overflow: boolean;
}

/** Bytes that `count` values take in `storage`; for affine storage the codes alone. */
export function valueBytes(storage: Storage, count: number): number {
  switch (storage.format) {
    case 'f32':
      return 4 * count;
    case 'f16':
      return 2 * count;
    case 'affine':
      return (count * storage.bits) / 8;
    default:
      return storage satisfies never;
  }
}
