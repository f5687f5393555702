import { LoadError } from '../errors/index.ts';
import type { DType } from './safetensors.ts';
import type { StoredTensor, WeightStore } from './store.ts';

/** How one layer's weight is stored. */
export type WeightFormat = 'f32' | 'f16' | 'bf16' | 'q8' | 'q4';

/** What config.json's `quantization` says of one layer: MLX's affine layout (specification section 9). */
export interface LayerScheme {
  /** Elements along `in` that share a scale and a bias. */
  readonly group: number;
  readonly bits: 4 | 8;
}

/** The default scheme and its exceptions, by layer name; `false`: this layer is not quantised. */
export interface QuantizationScheme extends LayerScheme {
  readonly layers: ReadonlyMap<string, LayerScheme | false>;
}

/** One matrix `[n, k]` (out, in) as it lies in the files. */
export interface LayerWeight {
  readonly format: WeightFormat;
  /** Rows: outputs. */
  readonly n: number;
  /** Columns: inputs, all dimensions but the first multiplied. */
  readonly k: number;
  /** Elements along k that share a scale; 0 when not quantised. */
  readonly group: number;
  /** Name of the tensor with the values or codes. */
  readonly weight: string;
  /** Names of the scales and biases `[n, k / group]`, and their common type; `null` when not quantised. */
  readonly affine: {
    readonly scales: string;
    readonly biases: string;
    readonly dtype: 'f32' | 'f16' | 'bf16';
  } | null;
}

const floatFormats: Partial<Record<DType, 'f32' | 'f16' | 'bf16'>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

/**
 * How the weight of `layer` (a name without `.weight`) is stored. It is quantised when `layer.scales` exists.
 * With `expected`, its size is checked too; a convolution counts as the matrix `[out, everything else]`.
 *
 * @throws {LoadError} `WEIGHTS_MISSING`, `WEIGHTS_SHAPE` naming the tensor, the shape wanted and the shape found,
 *   `WEIGHTS_DTYPE`, or `CONFIG_INVALID` when config.json does not describe the quantisation.
 */
export function describeLayer(
  store: WeightStore,
  quantization: QuantizationScheme | null,
  layer: string,
  expected?: { readonly n: number; readonly k: number },
): LayerWeight {
  const weight = store.entry(`${layer}.weight`);
  const quantised = store.has(`${layer}.scales`);
  const result = quantised ? describeAffine(store, quantization, layer, weight) : describeFloat(weight);
  if (expected && (result.n !== expected.n || result.k !== expected.k)) {
    throw shapeError(weight, `${expected.n} x ${expected.k} weights`, `${result.n} x ${result.k}`);
  }
  return result;
}

function describeFloat(weight: StoredTensor): LayerWeight {
  const format = floatFormat(weight);
  if (weight.shape.length < 2) throw shapeError(weight, 'a matrix');
  const [n, ...rest] = weight.shape;
  const k = rest.reduce((product, size) => product * size, 1);
  return { format, n, k, group: 0, weight: weight.name, affine: null };
}

function describeAffine(
  store: WeightStore,
  quantization: QuantizationScheme | null,
  layer: string,
  weight: StoredTensor,
): LayerWeight {
  const { bits, group } = schemeOf(quantization, layer);
  if (weight.dtype !== 'U32') throw dtypeError(weight, 'U32 (quantised codes)');
  if (weight.shape.length !== 2) throw shapeError(weight, `[out, in / ${32 / bits}]`);
  const [n, words] = weight.shape;
  const k = words * (32 / bits);
  if (k === 0 || k % group !== 0) throw shapeError(weight, `rows of a whole number of groups of ${group}`);

  const scales = store.entry(`${layer}.scales`);
  const biases = store.entry(`${layer}.biases`);
  for (const tensor of [scales, biases]) checkShape(tensor, [n, k / group]);
  if (scales.dtype !== biases.dtype) throw dtypeError(biases, `${scales.dtype}, as its scales`);
  const affine = { scales: scales.name, biases: biases.name, dtype: floatFormat(scales) };
  return { format: bits === 4 ? 'q4' : 'q8', n, k, group, weight: weight.name, affine };
}

function schemeOf(quantization: QuantizationScheme | null, layer: string): LayerScheme {
  const scheme = quantization?.layers.get(layer) ?? quantization;
  if (scheme) return scheme;
  throw new LoadError({
    code: 'CONFIG_INVALID',
    message: `The weights of "${layer}" are quantised, but config.json's quantization does not describe them.`,
    fix: 'Restore "quantization" in config.json, or convert the model again.',
  });
}

/**
 * @throws {LoadError} `WEIGHTS_SHAPE` unless the tensor has exactly this shape.
 */
export function checkShape(tensor: StoredTensor, shape: readonly number[]): void {
  const same = tensor.shape.length === shape.length && shape.every((size, i) => size === tensor.shape[i]);
  if (!same) throw shapeError(tensor, `[${shape.join(', ')}]`);
}

/**
 * @throws {LoadError} `WEIGHTS_DTYPE` unless the tensor holds floats of 16 or 32 bits.
 */
export function floatFormat(tensor: StoredTensor): 'f32' | 'f16' | 'bf16' {
  const format = floatFormats[tensor.dtype];
  if (format) return format;
  throw dtypeError(tensor, 'F32, F16 or BF16');
}

function shapeError(tensor: StoredTensor, wanted: string, found = `[${tensor.shape.join(', ')}]`): LoadError {
  return new LoadError({
    code: 'WEIGHTS_SHAPE',
    message: `${tensor.file}: "${tensor.name}" must be ${wanted}; found ${found}.`,
    fix: 'Check that config.json belongs to these weights, or convert the model again.',
  });
}

function dtypeError(tensor: StoredTensor, wanted: string): LoadError {
  return new LoadError({
    code: 'WEIGHTS_DTYPE',
    message: `${tensor.file}: "${tensor.name}" must be ${wanted}; found ${tensor.dtype}.`,
    fix: 'Convert the model again.',
  });
}
