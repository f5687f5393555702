import { Recorder, copy, rowsOf, take, type Program, type Tensor } from '../ops/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { decoderOf, imageNewline, QUERY_ROW, visualTokens } from '../models/registry.ts';
import { merges, mostTiles, visualTokenCount, visualTokenRange } from '../models/visual.ts';

/** Names of tensors to read back besides a program's own outputs. */
export type Taps = ReadonlySet<string>;

/** The state that the vision program leaves for the prefix program. */
const VISUAL = 'visual_tokens';
/** The tokens of all tiles of a picture, and `image_newline` behind them. */
const TILES = 'tile_tokens';
const NEWLINE = 'newline_row';
/** Visual tokens of several tiles that one prefill run takes: bounds scratch memory and the number of shapes. */
const VISUAL_CHUNK = 512;

/** Pixels of one input to visual tokens, left in the backend's state; the DFI's attention map is its output where there is one. */
export function visionProgram(config: ModelConfig, taps?: Taps): Program {
  const r = new Recorder('vision', taps);
  const { channels, imageSize } = config.vision;
  const pixels = r.input('pixels', 1, channels * imageSize * imageSize);
  const y = visualState(r, config);
  visualTokens(r, config, pixels, y);
  if (taps?.has(VISUAL)) copy(r, y, r.output('visual_tokens.copy', y.rows, y.cols));
  return r.finish();
}

/** What {@link visionProgram} takes. */
export function visionInputs(
  { spatial }: ModelConfig,
  pixels: Float32Array,
): Record<string, Float32Array | Uint32Array> {
  return spatial?.transformer ? { pixels, [QUERY_ROW]: new Uint32Array(1) } : { pixels };
}

/** The tokens before the image and the image itself, into the KV cache: what every question on an image shares. */
export function prefixProgram(config: ModelConfig, before: number): Program {
  const r = new Recorder(`prefix[${before}]`);
  const decoder = decoderOf(config);
  const visual = visualState(r, config);
  const x = r.tensor('prefix', before + visual.rows, config.text.width);
  if (before > 0) decoder.embed(r, config.text, r.input('ids', before, 1, 'u32'), rowsOf(x, 0, before));
  copy(r, visual, rowsOf(x, before, visual.rows));
  decoder.layers(r, config.text, x);
  return r.finish();
}

/**
 * One tile's visual tokens from where {@link visionProgram} left them to their place among those of all tiles. That of the
 * first tile also places `image_newline`, where the model has one.
 */
export function placeProgram(config: ModelConfig, tile: number): Program {
  const r = new Recorder(`place[${tile}]`);
  const visual = visualState(r, config);
  const tiles = tileState(r, config);
  copy(r, visual, rowsOf(tiles, tile * visual.rows, visual.rows));
  if (tile === 0 && merges(config)) {
    imageNewline(r, r.input(NEWLINE, 1, 1, 'u32'), rowsOf(tiles, tiles.rows - 1, 1));
  }
  return r.finish();
}

/** What {@link placeProgram} takes. */
export function placeInputs(config: ModelConfig, tile: number): Record<string, Uint32Array> {
  return tile === 0 && merges(config) ? { [NEWLINE]: new Uint32Array(1) } : {};
}

/**
 * The tokens before a picture of several tiles and `rows` of its visual tokens, into the KV cache. The input `order` u32
 * `[rows, 1]` says which these are, as `visualOrder` counts them; runs behind the first have nothing `before` them.
 */
export function visualProgram(config: ModelConfig, before: number, rows: number, taps?: Taps): Program {
  const r = new Recorder(`visual[${before}+${rows}]`, taps);
  const decoder = decoderOf(config);
  const x = r.tensor('visual.prefix', before + rows, config.text.width);
  if (before > 0) decoder.embed(r, config.text, r.input('ids', before, 1, 'u32'), rowsOf(x, 0, before));
  take(r, tileState(r, config), r.input('order', rows, 1, 'u32'), rowsOf(x, before, rows));
  decoder.layers(r, config.text, x);
  return r.finish();
}

/** Rows of {@link visualProgram} that a picture is fed by; the last run has what is left. */
export function visualRows(config: ModelConfig): number {
  return Math.min(VISUAL_CHUNK, visualTokenRange(config).most);
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

/** One program of each kind, as large as it gets: they name every weight and every cache of the model. */
export function everyProgram(config: ModelConfig): readonly Program[] {
  const picture = config.tiling
    ? [placeProgram(config, 0), visualProgram(config, 1, visualRows(config))]
    : [prefixProgram(config, 1)];
  return [visionProgram(config), ...picture, tokensProgram(config, 1)];
}

function visualState(r: Recorder, config: ModelConfig): Tensor {
  return r.state(VISUAL, visualTokenCount(config), config.text.width);
}

function tileState(r: Recorder, config: ModelConfig): Tensor {
  const rows = mostTiles(config) * visualTokenCount(config) + (merges(config) ? 1 : 0);
  return r.state(TILES, rows, config.text.width);
}
