import type { Fields } from '../fields.ts';
import { headCounts, maxTensorElements, widths } from './limits.ts';
import type { DetailConfig, SpatialConfig, SpatialTransformerConfig, VisionConfig } from './types.ts';

/** `spatial_config`. */
export function parseSpatial(spatial: Fields, { grid, width }: VisionConfig): SpatialConfig {
  const type = spatial.oneOf('type', ['cropping', 'pooling']);
  const tokens = spatial.integer('num_tokens', { min: 1, max: grid });
  const features = spatial.integer('feature_size', widths);
  const transformer =
    spatial.oneOf('extractor', ['conv', 'transformer'], 'conv') === 'transformer'
      ? parseTransformer(spatial, width, features)
      : null;
  // The largest covering kernel spans the grid at most: this bounds them all.
  if (!transformer && grid * grid * width * features > maxTensorElements) {
    throw spatial.error('feature_size', `at most ${maxTensorElements} weights in the covering convolution`);
  }
  const kernels = parseKernels(spatial, tokens, grid);
  return { type, tokens, features, kernels, transformer, detail: parseDetail(spatial, grid) };
}

function parseKernels(spatial: Fields, tokens: number, grid: number): readonly number[] {
  const listed = spatial.raw('kernel_sizes');
  if (listed === undefined) {
    return Array.from({ length: tokens }, (_, i) => Math.floor((grid * (i + 1)) / tokens));
  }
  const fits = (size: unknown): size is number =>
    Number.isInteger(size) && (size as number) >= 1 && (size as number) <= grid;
  // Each size names a weight: none comes twice.
  if (Array.isArray(listed) && listed.length === tokens && listed.every(fits)) {
    if (new Set(listed).size === tokens) return [...listed];
  }
  throw spatial.error('kernel_sizes', `${tokens} different sizes from 1 to ${grid} patches`);
}

function parseTransformer(spatial: Fields, width: number, features: number): SpatialTransformerConfig {
  if (features !== width) throw spatial.error('feature_size', `the vision width ${width} with transformers`);
  const transformer = spatial.fields('transformer');
  const heads = transformer.integer('heads', headCounts, 8);
  if (width % heads !== 0) throw transformer.error('heads', `a divisor of the vision width ${width}`);
  return {
    layers: transformer.integer('layers', { min: 1, max: 64 }, 4),
    heads,
    mlp: transformer.integer('mlp', widths, 1024),
  };
}

function parseDetail(spatial: Fields, grid: number): DetailConfig | null {
  if (!spatial.has('detail')) return null;
  const detail = spatial.fields('detail');
  const kernel = detail.integer('kernel_size', { min: 1, max: grid });
  const stride = detail.integer('stride', { min: 1, max: grid }, 2);
  const side = Math.floor((grid - kernel) / stride) + 1;
  return { kernel, stride, positions: side * side };
}
