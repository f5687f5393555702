/**
 * The files of a model folder as a converter reads and writes them: no device, no pipeline.
 *
 * @module @llava-sp/core/formats
 */
export { dtypeBytes, readHeader, type DType, type TensorEntry } from './weights/safetensors.ts';
export { openWeights, parseIndex, type StoredTensor, type WeightStore } from './weights/store.ts';
export { toFloat32, type FloatFormat } from './weights/floats.ts';
export { parseModelConfig, type ModelConfig } from './models/config.ts';
export { parseText } from './models/config/text.ts';
export { llavaTower, parseVision } from './models/config/vision.ts';
export type { Activation, TextConfig, VisionConfig } from './models/config/types.ts';
export { createTokenizer, type Tokenizer } from './text/tokenizer.ts';
export { createChatTemplate } from './text/chat.ts';
export { throwIfAborted, untilAborted } from './errors/index.ts';
export { Fields } from './models/fields.ts';
