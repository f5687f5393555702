import type { TextConfig } from '../../packages/core/src/models/config.ts';
import { llamaEmbed, llamaLayers, llamaLogits } from '../../packages/core/src/models/llm/llama.ts';
import { clip } from '../../packages/core/src/models/vision/clip.ts';
import { copy, Recorder, rowsOf, type Program } from '../../packages/core/src/ops/index.ts';
import type { VisionShape } from './model_shapes.ts';

/** Ids to the logits of the last row. */
export function recordText(config: TextConfig, rows: number): Program {
  const r = new Recorder(`${rows} tokens`);
  const ids = r.input('ids', rows, 1, 'u32');
  const x = r.tensor('embeddings', rows, config.width);
  llamaEmbed(r, config, ids, x);
  llamaLogits(r, config, rowsOf(llamaLayers(r, config, x), rows - 1, 1));
  return r.finish();
}

/** Pixels to the features of every patch. */
export function recordVision({
  vision: config,
  featureLayer,
}: Pick<VisionShape, 'vision' | 'featureLayer'>): Program {
  const r = new Recorder('vision');
  const pixels = r.input('pixels', 1, config.channels * config.imageSize ** 2);
  const features = clip(r, config, featureLayer, pixels);
  copy(r, features, r.output('features', features.rows, features.cols));
  return r.finish();
}
