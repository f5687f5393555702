import type { TextConfig, VisionConfig } from '../../packages/core/src/models/config.ts';

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

/** Tokens of an image (6 + 576), and of the context that decode is measured at. */
export const imageTokens = 582;

const text = (shape: Omit<TextConfig, 'type' | 'context' | 'bos' | 'eos' | 'eps'>): TextShape => ({
  kind: 'text',
  text: { type: 'llama', context: 1024, bos: null, eos: [], eps: 1e-6, ...shape },
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
  'vit-l-336': {
    kind: 'vision',
    featureLayer: -2,
    vision: {
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
    },
  },
} as const satisfies Record<string, TextShape | VisionShape>;

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
