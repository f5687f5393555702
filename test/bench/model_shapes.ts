import type { ModelConfig, TextConfig, VisionConfig } from '../../packages/core/src/models/config.ts';

export interface TextShape {
  readonly kind: 'text';
  readonly text: TextConfig;
}

export interface VisionShape {
  readonly kind: 'vision';
  readonly vision: VisionConfig;
  /** As LLaVA-1.5 selects it: the last layer is not run. */
  readonly featureLayer: number;
}

/** A whole model, as the pipeline runs it. */
export interface LlavaShape {
  readonly kind: 'llava';
  readonly config: ModelConfig;
}

/** Tokens of an image (6 + 576), and of the context that decode is measured at. */
export const imageTokens = 582;

const text = (shape: Omit<TextConfig, 'type' | 'context' | 'bos' | 'eos' | 'eps'>): TextShape => ({
  kind: 'text',
  text: { type: 'llama', context: 1024, bos: null, eos: [], eps: 1e-6, ...shape },
});

const clipL336: VisionConfig = {
  type: 'clip',
  width: 1024,
  mlp: 4096,
  layers: 24,
  heads: 16,
  channels: 3,
  imageSize: 336,
  patch: 14,
  grid: 24,
  act: 'quick_gelu',
  eps: 1e-5,
  qkvBias: true,
  qkNorm: false,
};

/** The published LLaVA-SP: six covering kernels, and the fine features that they ask. */
const llavaSp = (
  vision: VisionConfig,
  text: TextConfig,
  features: number,
  detail: { kernel: number; positions: number },
): LlavaShape => ({
  kind: 'llava',
  config: {
    architecture: 'LlavaSpForConditionalGeneration',
    imageToken: 0,
    visionFeatureLayer: -2,
    imageAspectRatio: 'pad',
    tiling: null,
    downsample: 1,
    projectorAct: 'gelu',
    vision,
    text,
    spatial: {
      type: 'cropping',
      tokens: 6,
      features,
      transformer: null,
      kernels: Array.from({ length: 6 }, (_, i) => (vision.grid * (i + 1)) / 6),
      detail: { ...detail, stride: 2 },
    },
    tasks: { boxes: 'unit', ground: '', describe: '', caption: { short: '', detailed: '' } },
    quantization: null,
  },
});

/** The shapes that are benchmarked; the weights are random. */
export const shapes = {
  'qwen2-0.5b': text({
    width: 896,
    mlp: 4864,
    layers: 24,
    heads: 14,
    kvHeads: 2,
    headDim: 64,
    vocab: 151_655,
    ropeTheta: 1e6,
    tied: true,
    attentionBias: true,
  }),
  'tinyllama-1.1b': text({
    width: 2048,
    mlp: 5632,
    layers: 22,
    heads: 32,
    kvHeads: 4,
    headDim: 64,
    vocab: 32_000,
    ropeTheta: 1e4,
    tied: false,
    attentionBias: false,
  }),
  'vit-l-336': { kind: 'vision', featureLayer: -2, vision: clipL336 },
  // Vicuna-7B; S = 512 and a detail kernel of 16 as published.
  'llava-sp-7b': llavaSp(
    clipL336,
    text({
      width: 4096,
      mlp: 11_008,
      layers: 32,
      heads: 32,
      kvHeads: 32,
      headDim: 128,
      vocab: 32_000,
      ropeTheta: 1e4,
      tied: false,
      attentionBias: false,
    }).text,
    512,
    { kernel: 16, positions: 25 },
  ),
  // Small enough for any machine: it shows that a bench works, not how fast a model is.
  'tiny-llava-sp': llavaSp(
    { ...clipL336, width: 64, mlp: 128, layers: 3, heads: 2, imageSize: 48, patch: 4, grid: 12 },
    text({
      width: 128,
      mlp: 192,
      layers: 2,
      heads: 4,
      kvHeads: 2,
      headDim: 32,
      vocab: 512,
      ropeTheta: 1e4,
      tied: true,
      attentionBias: false,
    }).text,
    64,
    { kernel: 8, positions: 9 },
  ),
} as const satisfies Record<string, TextShape | VisionShape | LlavaShape>;

export type ShapeName = keyof typeof shapes;
export const shapeNames = Object.keys(shapes) as ShapeName[];

/** One figure of native llama.cpp (AVX-512, Q4_0; CLIP in f16) on this class of machine, by threads. */
export type Published = Readonly<Record<number, number>>;

/** Decode and prefill in tokens/s, vision in seconds an image. */
export const llamaCpp: Partial<
  Record<ShapeName, { decode?: Published; prefill?: Published; vision?: Published }>
> = {
  'qwen2-0.5b': { decode: { 1: 19, 2: 34 }, prefill: { 1: 103, 2: 188 } },
  'vit-l-336': { vision: { 1: 6.2, 2: 3.3 } },
};
