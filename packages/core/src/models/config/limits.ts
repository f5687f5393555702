import { UnsupportedError } from '../../errors/index.ts';
import type { Fields } from '../fields.ts';
import type { Activation } from './types.ts';

export const file = 'config.json';

// Wide enough for any model of these families, narrow enough that no product of sizes leaves the safe integers and
// a damaged file can't ask for memory that no device has.
export const widths = { min: 1, max: 65_536 };
export const layerCounts = { min: 1, max: 512 };
export const headCounts = { min: 1, max: 1024 };
export const vocabularies = { min: 1, max: 4_194_304 };
export const contexts = { min: 1, max: 1_048_576 };
export const epsilons = { min: 1e-12, max: 0.1 };
export const thetas = { min: 1, max: 1e12 };
/** Of one picture. The largest published: 40. */
export const tileCounts = { min: 1, max: 64 };
/** Weights of one tensor: far above the largest published (a 151,000 x 8,192 embedding), far below 2^53. */
export const maxTensorElements = 2 ** 33;
/** Keys and values of the whole context: 64 GiB of float32, eight times LLaVA's 7B at 8,192 tokens. */
export const maxCacheElements = 2 ** 34;

const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  quick_gelu: 'quick_gelu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
  silu: 'silu',
  swish: 'silu',
};

/** An activation by Hugging Face's name. */
export function activation(
  fields: Fields,
  key: string,
  fallback: string,
  allowed: readonly Activation[] = ['gelu', 'quick_gelu', 'gelu_tanh', 'silu'],
): Activation {
  const name = fields.has(key) ? fields.string(key) : fallback;
  const found = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (found && allowed.includes(found)) return found;
  const names = Object.keys(activations).filter((item) => allowed.includes(activations[item]));
  throw fields.error(key, `one of ${names.join(', ')}`);
}

/** A `model_type`: unknown is "not supported", not "damaged". */
export function known<const T extends string>(
  fields: Fields,
  key: string,
  names: readonly T[],
  fallback: T,
): T {
  const found = fields.has(key) ? fields.string(key) : fallback;
  const name = names.find((item) => item === found);
  if (name !== undefined) return name;
  throw unknownArchitecture(`${fields.path(key)} ${JSON.stringify(found)?.slice(0, 80)}`, names);
}

export function unknownArchitecture(what: string, names: readonly string[]): UnsupportedError {
  return new UnsupportedError({
    code: 'ARCHITECTURE_UNKNOWN',
    message: `${file} asks for ${what}, which is not supported. Known: ${names.join(', ')}.`,
    fix: 'Use a model of a known architecture, or a newer release of the SDK.',
  });
}
