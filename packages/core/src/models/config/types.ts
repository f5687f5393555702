/** What `config.json` says of a model, checked. Sizes in elements unless said otherwise. */

export type Activation = 'gelu' | 'quick_gelu' | 'gelu_tanh' | 'silu';

/** A vision transformer with layer norms before its blocks: CLIP's, SigLIP's or InternViT. */
export interface VisionConfig {
  /** Whose it is. */
  readonly type: 'clip' | 'siglip' | 'intern_vit';
  /** Of a token: the hidden size. */
  readonly width: number;
  /** Width between the two layers of the MLP. */
  readonly mlp: number;
  /** How many blocks. */
  readonly layers: number;
  /** Of the attention; they divide `width`. */
  readonly heads: number;
  /** Of the input. */
  readonly channels: number;
  /** The square input's side, in pixels; of one tile, where pictures are cut into tiles. */
  readonly imageSize: number;
  /** A patch's side, in pixels. */
  readonly patch: number;
  /** G: patches along a side, `imageSize / patch`. */
  readonly grid: number;
  /** Between the two layers of the MLP. */
  readonly act: Activation;
  /** Of the layer norms. */
  readonly eps: number;
  /** Whether q, k and v have biases. */
  readonly qkvBias: boolean;
  /** Whether q and k pass an RMSNorm over their full width (InternViT). */
  readonly qkNorm: boolean;
}

/** A LLaMA-style decoder. Qwen2 is one, with biases on q, k and v. */
export interface TextConfig {
  /** Whose it is. */
  readonly type: 'llama' | 'qwen2';
  /** Of a token: the hidden size. */
  readonly width: number;
  /** Width between the layers of the MLP. */
  readonly mlp: number;
  /** How many blocks. */
  readonly layers: number;
  /** Of the queries. */
  readonly heads: number;
  /** Divides `heads`; fewer than `heads` is grouped-query attention. */
  readonly kvHeads: number;
  /** Of one head. */
  readonly headDim: number;
  /** Tokens of the embedding table. */
  readonly vocab: number;
  /** Of the RMS norms. */
  readonly eps: number;
  /** The base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** In tokens. */
  readonly context: number;
  /** Whether the output head is the embedding table. */
  readonly tied: boolean;
  /** Whether q, k and v have biases. */
  readonly attentionBias: boolean;
  /** Id of the token that begins a sequence; `null` without one. */
  readonly bos: number | null;
  /** Every id that ends an answer; empty when the model declares none. */
  readonly eos: readonly number[];
}

/** The Spatial Feature Extractor (specification section 3) and Detail Feature Integrator (section 4). */
export interface SpatialConfig {
  readonly type: 'cropping' | 'pooling';
  /** N. */
  readonly tokens: number;
  /** S; C with transformers in place of the convolutions. */
  readonly features: number;
  /** Sides of the N maps, in patches, in their order: `floor(G * i / N)` for i = 1..N unless the configuration lists them. */
  readonly kernels: readonly number[];
  /** What makes one vector of a map: `null` is the covering convolution. */
  readonly transformer: SpatialTransformerConfig | null;
  /** `null` without DFI. */
  readonly detail: DetailConfig | null;
}

/** The ablation's encoder-decoder in place of a covering convolution (specification section 3), of width C. */
export interface SpatialTransformerConfig {
  /** Of the encoder, and of the decoder. */
  readonly layers: number;
  readonly heads: number;
  readonly mlp: number;
}

/** The Detail Feature Integrator (specification section 4). */
export interface DetailConfig {
  /** Side of F_ms's kernel, in patches. */
  readonly kernel: number;
  readonly stride: number;
  /** Positions of F_ms: `(floor((G - kernel) / stride) + 1)^2`. */
  readonly positions: number;
}

/** How a picture is cut into tiles of the vision tower's input size (specification section 1). */
export type TilingConfig = AnyresConfig | DynamicTilingConfig;

/** LLaVA-1.6: the whole picture on the first tile, then tiles of the picture fitted on one of these sizes. */
export interface AnyresConfig {
  readonly type: 'anyres';
  /** A tile's side, in pixels. */
  readonly tile: number;
  /** `[height, width]` in pixels, multiples of the tile's side. */
  readonly pinpoints: readonly (readonly [height: number, width: number])[];
  /** `spatial_unpad`: the tiles' patches joined row by row, without padding, each row ended by `image_newline`. */
  readonly merge: 'spatial_unpad' | 'flat';
}

/** InternVL: as many tiles as the closest aspect ratio asks for, then a thumbnail of the whole where more than one. */
export interface DynamicTilingConfig {
  readonly type: 'dynamic';
  /** Fewest and most tiles, the thumbnail apart. */
  readonly min: number;
  readonly max: number;
  readonly thumbnail: boolean;
}

/** Of one weight. */
export type QuantizationBits = 4 | 8;

/** How the rows of one layer's matrix are stored. */
export interface LayerQuantization {
  /** Elements along `in` that share a scale and a bias. */
  readonly group: 32 | 64 | 128;
  readonly bits: QuantizationBits;
}

/** MLX's affine quantisation (specification section 9). */
export interface QuantizationConfig extends LayerQuantization {
  /** By weight name without `.weight`; `false`: this layer is not quantised. */
  readonly layers: ReadonlyMap<string, LayerQuantization | false>;
}

/** How the model is asked for more than an answer: in the words that it was trained with. */
export interface TasksConfig {
  /** How it writes boxes: 0..1 of its input with decimals, or whole thousandths of the picture. */
  readonly boxes: 'unit' | 'thousandths';
  /** Asks where something is, with `{phrase}` in it. */
  readonly ground: string;
  /** Asks what is in a box, with `{box}` in it. */
  readonly describe: string;
  /** Ask what is in the picture. */
  readonly caption: {
    /** For one sentence. */
    readonly short: string;
    /** For all there is to say. */
    readonly detailed: string;
  };
}

/** What `config.json` says of a model, checked. */
export interface ModelConfig {
  /** As the file names it. */
  readonly architecture: 'LlavaSpForConditionalGeneration' | 'LlavaForConditionalGeneration';
  /** Id of the token that stands for the image. It is never embedded: it may lie past the vocabulary. */
  readonly imageToken: number;
  /** -1: output of the last layer, before the post-LayerNorm; -2: the input of the last layer; and so on. */
  readonly visionFeatureLayer: number;
  /** How a picture gets the input's shape where it is not cut into tiles. */
  readonly imageAspectRatio: 'pad' | 'original';
  /** `null`: one picture is one input. */
  readonly tiling: TilingConfig | null;
  /** Activation between the two layers of the patch projector. */
  readonly projectorAct: Activation;
  /** 2: blocks of 2 x 2 patches become one token (pixel shuffle), and the projector begins with a LayerNorm. */
  readonly downsample: 1 | 2;
  /** The vision tower. */
  readonly vision: VisionConfig;
  /** The language model. */
  readonly text: TextConfig;
  /** `null` is plain LLaVA. */
  readonly spatial: SpatialConfig | null;
  /** `task_prompts`, and what it leaves out by the model's family. */
  readonly tasks: TasksConfig;
  /** `null`: no layer is quantised. */
  readonly quantization: QuantizationConfig | null;
}
