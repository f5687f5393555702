/** Explanations: the attention of the references, and windows that are what the operations see, in source pixels. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explain } from '../../packages/core/src/api/explain.ts';
import type { Box, Geometry } from '../../packages/core/src/image/boxes.ts';
import { fit, parsePreprocessor, type PreprocessorConfig } from '../../packages/core/src/image/preprocess.ts';
import { cutTiles, type Tiling } from '../../packages/core/src/image/tiling.ts';
import type { Pixels } from '../../packages/core/src/image/pixels.ts';
import type { ModelConfig } from '../../packages/core/src/models/config.ts';
import { crop } from '../../packages/core/src/reference/crop.ts';
import { matrix, zeros, type Matrix } from '../../packages/core/src/reference/matrix.ts';
import { pool } from '../../packages/core/src/reference/pool.ts';
import { unfold } from '../../packages/core/src/reference/unfold.ts';
import { load, type Explanation, type Model } from '@llava-sp/node';
import { readGolden } from '../support/golden.ts';
import { stageOf } from '../support/golden_model.ts';
import { imagePath, modelPath } from '../support/models.ts';
import { convertPublished, type Converted } from '../support/published.ts';

/** Each row of one tile's attention sums to 1, and is that of the reference. */
function checkAttention(explanation: Explanation, tokens: number, truth: Float32Array): void {
  const maps = explanation.tiles.map(({ attention }) => attention ?? new Float32Array(0));
  expect(maps.reduce((sum, { length }) => sum + length, 0)).toBe(truth.length);
  let at = 0;
  for (const [tile, map] of maps.entries()) {
    const { positions } = explanation.tiles[tile];
    expect(map).toHaveLength(tokens * positions);
    for (let token = 0; token < tokens; token++) {
      const row = map.subarray(token * positions, (token + 1) * positions);
      expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
      for (const weight of row) expect(Math.abs(weight - truth[at++])).toBeLessThan(1e-4);
    }
  }
}

describe('an explanation', () => {
  test.each(['cropping', 'pooling', 'plain'])('of the golden model %s', async (name) => {
    const { config, stages } = await readGolden(name);
    await using model: Model = await load(modelPath(name), { threads: 1 });
    const { width, height, explanation } = await model.look(imagePath(name));
    const [tile] = explanation.tiles;
    expect(explanation.tiles).toHaveLength(1);
    const { spatial } = config;
    expect(tile.tokens.map(({ kernel }) => kernel)).toEqual(spatial?.kernels ?? []);
    if (spatial?.detail) {
      checkAttention(explanation, spatial.tokens, stageOf(stages, 'detail.attention'));
      expect(tile.positionSide ** 2).toBe(tile.positions);
    } else expect(tile).toMatchObject({ attention: null, positions: 0, positionSide: 0, positionBoxes: [] });
    expect(tile.positionBoxes).toHaveLength(tile.positions);
    for (const { kernel, boxes } of tile.tokens) {
      expect(boxes).toHaveLength(spatial?.type === 'pooling' ? kernel ** 2 : 1);
    }
    for (const box of [tile.box, ...tile.positionBoxes, ...tile.tokens.flatMap(({ boxes }) => boxes)]) {
      expectInside(box, width, height);
    }
    // Only who asks for it gets one with the answer.
    const asked = model.ask(imagePath(name), 'What?', { maxTokens: 1, explain: true });
    await asked.text();
    expect(asked.explanation).toEqual(explanation);
    const plain = model.ask(imagePath(name), 'What?', { maxTokens: 1 });
    await plain.text();
    expect(plain.explanation).toBeNull();
  });

  describe('of a picture in tiles', () => {
    let converted: Converted;
    beforeAll(async () => {
      converted = await convertPublished('next-sp');
    });
    afterAll(() => converted.remove());

    test('has one part a tile', async () => {
      const { model: golden, image } = converted;
      await using model = await load(golden.folder, { threads: 1 });
      const { explanation } = await model.look(image);
      expect(explanation.tiles).toHaveLength(7);
      checkAttention(explanation, 3, stageOf(golden.stages, 'detail.attention'));
      // The whole picture first; the others cover it without overlapping.
      const [whole, ...parts] = explanation.tiles.map(({ box }) => box);
      expect(whole).toEqual([0, 0, image.width, image.height]);
      expect(parts.reduce((sum, box) => sum + area(box), 0)).toBeCloseTo(image.width * image.height, 3);
    });
  });
});

describe('windows', () => {
  const grid = 9;
  const pads: [string, Pixels][] = [
    ['wide', blank(117, 40)],
    ['high', blank(33, 90)],
    ['square', blank(64, 64)],
  ];
  const cases = pads.flatMap(([what, source]) =>
    (['cropping', 'pooling'] as const).map((type) => ({ what, source, type })),
  );

  test.each(cases)('are what crop, pool and unfold read: $type, $what', ({ source, type }) => {
    const kernels = [1, 2, 4, 5, 7, 9];
    const detail = { kernel: 3, stride: 2, positions: 16 };
    const spatial = { type, tokens: kernels.length, features: 8, kernels, transformer: null, detail };
    const config = { vision: { grid, patch: 8, imageSize: grid * 8 }, spatial } as unknown as ModelConfig;
    const { geometry } = fit(source, squarePreprocessor(grid * 8), 'pad');
    const { tiles } = explain(config, [geometry], new Float32Array(kernels.length * detail.positions));
    const truth = (read: (x: Matrix, y: Matrix) => void, rows: number, cols: number) =>
      seen(read, rows, cols).map((patches) => toSource(patches, grid, geometry));
    const [tile] = tiles;
    kernels.forEach((kernel, i) => {
      const { boxes } = tile.tokens[i];
      if (type === 'pooling') {
        // Each cell of the map apart.
        const cells = truth((x, y) => pool(x, grid, kernel, y), 1, kernel * kernel);
        expectBoxes(boxes, cells);
        return;
      }
      const cells = seen((x, y) => crop(x, grid, kernel, y), 1, kernel * kernel).flat();
      expectBoxes(boxes, [toSource(cells, grid, geometry)]);
    });
    const windows = seen((x, y) => unfold(x, grid, 3, 2, y), detail.positions, 9);
    const positions = Array.from({ length: detail.positions }, (_, i) =>
      toSource(windows.slice(i * 9, (i + 1) * 9).flat(), grid, geometry),
    );
    expectBoxes(tile.positionBoxes, positions);
  });

  /** The patches that each value of an operation's output depends on. */
  function seen(read: (x: Matrix, y: Matrix) => void, rows: number, cols: number): number[][] {
    const found = Array.from({ length: rows * cols }, (): number[] => []);
    for (let patch = 0; patch < grid * grid; patch++) {
      const x = new Float64Array(grid * grid);
      x[patch] = 1;
      const y = zeros(rows, cols);
      read(matrix(x, grid * grid, 1), y);
      y.data.forEach((value, i) => value !== 0 && found[i].push(patch));
    }
    return found;
  }
});

describe('tiles lie where their pixels come from', () => {
  const anyres: Tiling = {
    type: 'anyres',
    pinpoints: [
      [48, 96],
      [96, 48],
      [96, 96],
      [48, 144],
    ],
  };
  const dynamic: Tiling = { type: 'dynamic', min: 1, max: 6, thumbnail: true };
  const sizes: [number, number][] = [
    [200, 90],
    [91, 240],
    [150, 150],
    [60, 47],
    [301, 100],
  ];
  test.each(sizes.flatMap((size) => [anyres, dynamic].map((tiling) => ({ size, tiling }))))(
    '$tiling.type, $size',
    ({ size: [width, height], tiling }) => {
      // Red grows from left to right, green from top to bottom.
      const source = blank(width, height);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          source.data[(y * width + x) * 3] = Math.round(((x + 0.5) / width) * 250);
          source.data[(y * width + x) * 3 + 1] = Math.round(((y + 0.5) / height) * 250);
        }
      }
      const side = 48;
      // One window in the middle of each tile.
      const spatial = { type: 'cropping', tokens: 1, kernels: [2], detail: null };
      const config = { vision: { grid: 6, patch: 8, imageSize: side }, spatial } as unknown as ModelConfig;
      const { tiles, frames } = cutTiles(source, tiling, side);
      expect(frames).toHaveLength(tiles.length);
      let compared = 0;
      explain(config, frames, null).tiles.forEach(({ box, tokens: [{ boxes }], attention }, i) => {
        expect(attention).toBeNull();
        expectInside(box, width, height);
        const at = ((side / 2) * side + side / 2) * 3;
        const [red, green] = [tiles[i].data[at], tiles[i].data[at + 1]];
        // Beside the picture.
        if (red === 0 && green === 0) return;
        const [x1, y1, x2, y2] = boxes[0];
        expect(Math.abs((x1 + x2) / 2 - (red / 250) * width)).toBeLessThan(2 + width / side);
        expect(Math.abs((y1 + y2) / 2 - (green / 250) * height)).toBeLessThan(2 + height / side);
        compared++;
      });
      expect(compared).toBeGreaterThan(0);
    },
  );
});

function blank(width: number, height: number): Pixels {
  return { data: new Uint8Array(width * height * 3), width, height, channels: 3 };
}

/** LLaVA's: the padded square resized to `side`. */
function squarePreprocessor(side: number): PreprocessorConfig {
  return parsePreprocessor({
    size: { shortest_edge: side },
    crop_size: { width: side, height: side },
    resample: 3,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
  });
}

/** The smallest box around patches of the padded square, in pixels of the source and within it. */
function toSource(patches: readonly number[], grid: number, { sourceWidth, sourceHeight }: Geometry): Box {
  const side = Math.max(sourceWidth, sourceHeight);
  const left = Math.floor((side - sourceWidth) / 2);
  const top = Math.floor((side - sourceHeight) / 2);
  const columns = patches.map((patch) => patch % grid);
  const rows = patches.map((patch) => Math.floor(patch / grid));
  const x = (column: number) => Math.min(Math.max((column * side) / grid - left, 0), sourceWidth);
  const y = (row: number) => Math.min(Math.max((row * side) / grid - top, 0), sourceHeight);
  return [
    x(Math.min(...columns)),
    y(Math.min(...rows)),
    x(Math.max(...columns) + 1),
    y(Math.max(...rows) + 1),
  ];
}

function expectBoxes(boxes: readonly Box[], truth: readonly Box[]): void {
  expect(boxes).toHaveLength(truth.length);
  boxes.forEach((box, i) => box.forEach((v, j) => expect(v).toBeCloseTo(truth[i][j], 6)));
}

function expectInside([x1, y1, x2, y2]: Box, width: number, height: number): void {
  expect(x1 >= 0 && y1 >= 0 && x1 <= x2 && y1 <= y2 && x2 <= width && y2 <= height).toBe(true);
}

function area([x1, y1, x2, y2]: Box): number {
  return (x2 - x1) * (y2 - y1);
}
