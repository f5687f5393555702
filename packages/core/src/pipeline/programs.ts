import { Recorder, copy, rowsOf, type Program } from '../ops/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { decoderOf, visualTokenCount, visualTokens } from '../models/registry.ts';

/** Names of tensors to read back besides a program's own outputs. */
export type Taps = ReadonlySet<string>;

/** The state that the vision program leaves for the prefix program. */
const VISUAL = 'visual_tokens';

/** Pixels to visual tokens, left in the backend's state; the DFI's attention map is its output where there is one. */
export function visionProgram(config: ModelConfig, taps?: Taps): Program {
  const r = new Recorder('vision', taps);
  const { channels, imageSize } = config.vision;
  const pixels = r.input('pixels', 1, channels * imageSize * imageSize);
  const y = r.state(VISUAL, visualTokenCount(config), config.text.width);
  visualTokens(r, config, pixels, y);
  if (taps?.has(VISUAL)) copy(r, y, r.output('visual_tokens.copy', y.rows, y.cols));
  return r.finish();
}

/** The tokens before the image and the image itself, into the KV cache: what every question on an image shares. */
export function prefixProgram(config: ModelConfig, before: number): Program {
  const r = new Recorder(`prefix[${before}]`);
  const decoder = decoderOf(config);
  const count = visualTokenCount(config);
  const x = r.tensor('prefix', before + count, config.text.width);
  if (before > 0) decoder.embed(r, config.text, r.input('ids', before, 1, 'u32'), rowsOf(x, 0, before));
  copy(r, r.state(VISUAL, count, config.text.width), rowsOf(x, before, count));
  decoder.layers(r, config.text, x);
  return r.finish();
}

/** `rows` tokens through the decoder; logits of the last one. With one row this is a decode step. */
export function tokensProgram(config: ModelConfig, rows: number): Program {
  const r = new Recorder(`tokens[${rows}]`);
  const decoder = decoderOf(config);
  const x = r.tensor('tokens', rows, config.text.width);
  decoder.embed(r, config.text, r.input('ids', rows, 1, 'u32'), x);
  const y = decoder.layers(r, config.text, x);
  decoder.logits(r, config.text, rowsOf(y, rows - 1, 1));
  return r.finish();
}
