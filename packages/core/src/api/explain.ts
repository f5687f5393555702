import { inputToSource, type Box, type Geometry } from '../image/boxes.ts';
import type { ModelConfig, SpatialConfig } from '../models/config.ts';

/** Where a model looked, tile by tile (specification sections 3 and 4; the paper's figures 3 and 5). */
export interface Explanation {
  /** In the order of the model's inputs; one for a picture that is not cut. */
  readonly tiles: readonly TileExplanation[];
}

/** Of one input of the vision tower. */
export interface TileExplanation {
  /** The part of the picture on this tile, in source pixels, clipped. */
  readonly box: Box;
  /** The DFI's attention map `[N, positions]`, row-major: each row, of one spatial token, sums to 1. `null` without a DFI. */
  readonly attention: Float32Array | null;
  /** Positions of F_ms, `positionSide` squared; 0 without a DFI. */
  readonly positions: number;
  /** Positions along a side. */
  readonly positionSide: number;
  /** What each position sees, row by row: its convolution's window in source pixels, clipped. */
  readonly positionBoxes: readonly Box[];
  /** The spatial tokens in their order; none without spatial features. */
  readonly tokens: readonly SpatialToken[];
}

/** What one spatial token is made of. */
export interface SpatialToken {
  /** Side of its map, in patches. */
  readonly kernel: number;
  /** What it sees, in source pixels, clipped: cropping has one window, pooling `kernel * kernel` cells, row by row. */
  readonly boxes: readonly Box[];
}

/** Patches `[begin, end)` along a side. */
type Span = readonly [begin: number, end: number];

/**
 * @param frames how each input of the vision tower lies on the source.
 * @param attention `[inputs * N, positions]`, or `null` without a DFI.
 */
export function explain(
  { vision, spatial }: ModelConfig,
  frames: readonly Geometry[],
  attention: Float32Array | null,
): Explanation {
  const { grid } = vision;
  // Of the input's side: what is no whole patch at its end is not seen.
  const patch = vision.patch / vision.imageSize;
  const detail = spatial?.detail ?? null;
  const positions = detail?.positions ?? 0;
  const side = Math.sqrt(positions);
  const perTile = (spatial?.tokens ?? 0) * positions;
  const tiles = frames.map((frame, i): TileExplanation => {
    const boxesOf = (spans: readonly Span[]): Box[] =>
      spans.flatMap(([top, bottom]) =>
        spans.map(([left, right]) => {
          const box: Box = [left * patch, top * patch, right * patch, bottom * patch];
          return inputToSource(box, frame);
        }),
      );
    const windows = detail
      ? Array.from({ length: side }, (_, j): Span => [j * detail.stride, j * detail.stride + detail.kernel])
      : [];
    return {
      box: inputToSource([0, 0, 1, 1], frame),
      attention: attention && detail ? attention.slice(i * perTile, (i + 1) * perTile) : null,
      positions,
      positionSide: side,
      positionBoxes: boxesOf(windows),
      tokens: (spatial?.kernels ?? []).map((kernel) => ({
        kernel,
        boxes: boxesOf(spatial ? spansOf(spatial.type, grid, kernel) : []),
      })),
    };
  });
  return { tiles };
}

/** Of the map with this kernel: the one centred window of cropping, or the cells of pooling, which may overlap. */
function spansOf(type: SpatialConfig['type'], grid: number, kernel: number): Span[] {
  if (type === 'cropping') {
    const start = Math.floor((grid - kernel) / 2);
    return [[start, start + kernel]];
  }
  return Array.from({ length: kernel }, (_, j): Span => [
    Math.floor((j * grid) / kernel),
    Math.ceil(((j + 1) * grid) / kernel),
  ]);
}
