import { parts, type Part, type Plan } from '../contract.ts';
import type { Placed, Quantisation, Shard } from './layout.ts';
import type { State } from './state.ts';

/** What one part of the model became. */
export interface PartReport {
  /** How its matrices are stored. */
  readonly format: Quantisation[Part];
  /** Values, scales and biases, norms and all. */
  readonly bytes: number;
  /** How many numbers. */
  readonly weights: number;
  /** `8 * bytes / weights`. */
  readonly bitsPerWeight: number;
  /** Root of the squared differences over the squared weights, of its matrices; 0 is exact. */
  readonly error: number;
}

/** A file of weights that a conversion wrote. */
export interface ShardReport {
  /** Its name. */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** What a conversion made. */
export interface ConversionReport {
  /** The on-device folder. */
  readonly out: string;
  /** For people, as "LLaVA-SP LoRA on a base model". */
  readonly layout: string;
  /** For people, as "cropping, N = 6, DFI k = 16". */
  readonly variant: string;
  /** Only the parts that the model has. */
  readonly parts: Readonly<Partial<Record<Part, PartReport>>>;
  /** All parts together. */
  readonly total: Omit<PartReport, 'format'>;
  /** Matrices that stayed f16 because no group size divides their rows. */
  readonly odd: readonly string[];
  /** Published tensors that nothing needs. */
  readonly leftover: readonly string[];
  /** The safetensors files. */
  readonly shards: readonly ShardReport[];
  /** Published bytes read, those of an earlier run included. */
  readonly inputBytes: number;
  /** Of this run. */
  readonly seconds: number;
}

interface Sum {
  bytes: number;
  weights: number;
  error: number;
  norm: number;
}

/** Adds up what the shards' records say. */
export function makeReport(
  plan: Plan,
  quantisation: Quantisation,
  placed: readonly Placed[],
  shards: readonly Shard[],
  state: State,
): Pick<ConversionReport, 'layout' | 'variant' | 'parts' | 'total' | 'odd' | 'leftover' | 'shards'> {
  const records = shards.map(({ file }) => state.shards[file]);
  const errors = Object.assign(
    {},
    ...records.map((record) => record.errors),
  ) as (typeof records)[0]['errors'];
  const sums = new Map<Part, Sum>();
  const total: Sum = { bytes: 0, weights: 0, error: 0, norm: 0 };
  for (const { planned, outputs } of placed) {
    const sum = sums.get(planned.part) ?? { bytes: 0, weights: 0, error: 0, norm: 0 };
    sums.set(planned.part, sum);
    for (const to of [sum, total]) {
      to.bytes += outputs.reduce((bytes, { size }) => bytes + size, 0);
      to.weights += planned.shape.reduce((product, size) => product * size, 1);
      to.error += errors[planned.name].error;
      to.norm += errors[planned.name].norm;
    }
  }
  const present = parts.flatMap((part) => {
    const sum = sums.get(part);
    return sum ? [[part, { format: quantisation[part], ...figures(sum) }] as const] : [];
  });
  return {
    layout: plan.layout,
    variant: plan.variant,
    parts: Object.fromEntries(present),
    total: figures(total),
    odd: placed.filter(({ odd }) => odd).map(({ planned }) => planned.name),
    leftover: plan.leftover,
    shards: shards.map(({ file, size }) => ({ file, size, sha256: state.shards[file].sha256 })),
  };
}

function figures({ bytes, weights, error, norm }: Sum): Omit<PartReport, 'format'> {
  return {
    bytes,
    weights,
    bitsPerWeight: weights === 0 ? 0 : (8 * bytes) / weights,
    error: norm === 0 ? 0 : Math.sqrt(error / norm),
  };
}
