import { expect, test } from 'vitest';
import { Recorder } from '../../packages/core/src/ops/index.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { orderPatchEmbedding } from '../../packages/core/src/pipeline/patch_embedding.ts';
import { toFloat32 } from '../../packages/core/src/weights/floats.ts';
import { storeWeight } from '../support/weights.ts';
import { failure } from '../weights/files.ts';
import { validConfig } from '../weights/config.ts';

const { vision } = parseModelConfig(validConfig());
const { patch, channels } = vision;
const ROWS = 3;
const ref = new Recorder('test').matrix(
  'vision_tower.vision_model.embeddings.patch_embedding.weight',
  ROWS,
  channels * patch * patch,
);
const torch = Float32Array.from({ length: ROWS * ref.k }, (_, i) => i);
/** The same convolution with its channels last. */
const mlx = torch.map((_, i) => {
  const [row, rest] = [Math.floor(i / ref.k), i % ref.k];
  const [position, channel] = [Math.floor(rest / channels), rest % channels];
  return row * ref.k + channel * patch * patch + position;
});

test.each([
  ["PyTorch's", torch, [ROWS, channels, patch, patch]],
  ["MLX's", mlx, [ROWS, patch, patch, channels]],
  ['a matrix of', torch, [ROWS, ref.k]],
])('%s order is read as channels, then rows and columns of a patch', async (_, values, shape) => {
  for (const dtype of ['F32', 'F16'] as const) {
    const format = dtype === 'F32' ? 'f32' : 'f16';
    const stored = storeWeight(ref, values, { format, dtype });
    const read = await orderPatchEmbedding(stored, shape, vision).readRows(1, ROWS);
    const bytes = read.values.slice();
    expect(toFloat32(bytes, format)).toEqual(torch.subarray(ref.k));
  }
});

test('a quantised one is refused, and never read in a wrong order', async () => {
  const codes = new Recorder('test').matrix(ref.name, ROWS, 768);
  const stored = storeWeight(codes, new Float32Array(ROWS * 768), { format: 'q8' });
  const error = await failure(() => orderPatchEmbedding(stored, [ROWS, 192], vision));
  expect(error.code).toBe('WEIGHTS_DTYPE');
  expect(error.message).toContain('patch_embedding');
});
