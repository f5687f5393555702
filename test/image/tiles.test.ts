import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parsePreprocessor } from '../../packages/core/src/image/preprocess.ts';
import { chooseTiles, cutTiles, preprocessTiles, type Tiling } from '../../packages/core/src/image/tiling.ts';
import { parseModelConfig, type ModelConfig } from '../../packages/core/src/models/config.ts';
import {
  mostTiles,
  tileCount,
  visualOrder,
  visualTokenCount,
  visualTokenRange,
} from '../../packages/core/src/models/visual.ts';
import { set, validConfig } from '../weights/config.ts';
import { goldenSource, xorshift32 } from './sources.ts';

interface Golden {
  configs: Record<
    string,
    { vision_config: { image_size: number }; image_aspect_ratio: 'anyres' | 'dynamic'; preprocessor: unknown }
  >;
  choices: {
    config: string;
    seed: number;
    count: number;
    limit: number;
    side: number;
    /** Along a tile's side. */
    patches: number;
    sha256: string;
    first: string[];
  }[];
  cases: {
    config: string;
    pattern: string;
    seed: number;
    source: [number, number];
    tiles: number;
    grid: [number, number];
    bytesSha256: string;
    pixelsSha256: string;
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../golden/resize/tiles.json', import.meta.url), 'utf8'),
) as Golden;

/** A model with the tiling of a golden configuration, `patches` along a tile's side. */
function modelConfig(name: string, patches: number, changes: Record<string, unknown> = {}): ModelConfig {
  const { vision_config, preprocessor, ...tiling } = golden.configs[name];
  expect(preprocessor).toBeDefined();
  const json = validConfig();
  const side = vision_config.image_size;
  const fields = {
    ...tiling,
    mm_patch_merge_type: 'spatial_unpad',
    spatial_config: null,
    'vision_config.image_size': side,
    'vision_config.patch_size': side / patches,
    'text_config.max_position_embeddings': 65_536,
    ...changes,
  };
  for (const [path, value] of Object.entries(fields)) set(json, path, value);
  return parseModelConfig(json);
}

function tilingOf(config: ModelConfig): Tiling {
  if (!config.tiling) throw new Error('the configuration has no tiles');
  return config.tiling;
}

function sha256(parts: readonly Uint8Array[] | string): string {
  const hash = createHash('sha256');
  for (const part of typeof parts === 'string' ? [parts] : parts) hash.update(part);
  return hash.digest('hex');
}

describe("tiles equal those of LLaVA-NeXT's and InternVL's processors, to the last bit", () => {
  test('there are cases', () => expect(golden.cases.length).toBeGreaterThan(20));
  test.each(golden.cases)('$config, $source, $pattern', (c) => {
    const config = modelConfig(c.config, 4);
    const side = config.vision.imageSize;
    const source = goldenSource(c.pattern, c.seed, ...c.source);
    const cut = cutTiles(source, tilingOf(config), side);
    expect([cut.rows, cut.columns]).toEqual(c.grid);
    expect(cut.tiles.length).toBe(c.tiles);
    expect(tileCount(cut)).toBe(c.tiles);
    expect(sha256(cut.tiles.map(({ data }) => data))).toBe(c.bytesSha256);
    const preprocessor = parsePreprocessor(golden.configs[c.config].preprocessor);
    const { inputs } = preprocessTiles(source, preprocessor, tilingOf(config), side);
    expect(sha256(inputs.map(({ buffer }) => new Uint8Array(buffer)))).toBe(c.pixelsSha256);
  });
});

describe("a picture's tiles, and what is left of them without padding, are those of the published code", () => {
  test.each(golden.choices)('$config, $count sizes to $limit', (c) => {
    const config = modelConfig(c.config, c.patches || 4);
    const next = xorshift32(c.seed);
    const size = (edge: boolean) =>
      edge ? Math.max(1, c.side * (1 + (next() % 5)) + (next() % 3) - 1) : 1 + (next() % c.limit);
    const lines: string[] = [];
    for (let i = 0; i < c.count; i++) {
      const [width, height] = [size(i % 4 === 3), size(i % 4 === 3)];
      const tiles = chooseTiles(width, height, tilingOf(config), c.side);
      const line = [width, height, tiles.rows, tiles.columns];
      if (c.patches > 0) {
        const order = visualOrder(config, tiles);
        const newline = mostTiles(config) * visualTokenCount(config);
        const rows = order.filter((id) => id === newline).length;
        const merged = order.length - c.patches ** 2;
        // A row without columns can't be told from its newline: HF keeps the shape, which is that of the grid then.
        line.push(rows, rows === 0 ? tiles.columns * c.patches : merged / rows - 1);
      }
      lines.push(line.join(' '));
    }
    expect(lines.slice(0, c.first.length)).toEqual(c.first);
    expect(sha256(lines.map((line) => `${line}\n`).join(''))).toBe(c.sha256);
  });
});

describe('the order of visual tokens', () => {
  const spatial = { type: 'cropping', num_tokens: 2, feature_size: 8 };

  test('by hand: 2 x 1 tiles of 2 x 2 patches and 2 spatial tokens, one column of padding on each side', () => {
    // The grid is 4 wide and 2 high; a picture of ratio 1 is padded by one column left and right.
    const config = modelConfig('anyres-48', 2, { spatial_config: spatial });
    const grid = { columns: 2, rows: 1, whole: 'first', sourceWidth: 50, sourceHeight: 50 } as const;
    const newline = 5 * 6;
    expect([...visualOrder(config, grid)]).toEqual([
      ...[0, 1, 6, 7, 12, 13],
      ...[2, 3, 4, 5],
      ...[6 + 2 + 1, 12 + 2, newline],
      ...[6 + 2 + 3, 12 + 2 + 2, newline],
    ]);
  });

  test('flat: whole tiles one after another, spatial tokens of all first', () => {
    const changes = { spatial_config: spatial, mm_patch_merge_type: 'flat' };
    const config = modelConfig('anyres-48', 2, changes);
    const grid = { columns: 1, rows: 2, whole: 'first', sourceWidth: 50, sourceHeight: 100 } as const;
    const order = [...visualOrder(config, grid)];
    expect(order.slice(0, 6)).toEqual([0, 1, 6, 7, 12, 13]);
    expect(order.slice(6)).toEqual([2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17]);
  });

  test('no token twice but the newline, none past the end, and between the least and the most there can be', () => {
    const seed = 991;
    const next = xorshift32(seed);
    for (const name of ['anyres-48', 'dynamic-32', 'dynamic-32-to-6']) {
      const config = modelConfig(name, 4, { spatial_config: spatial, downsample_ratio: 0.5 });
      const { least, most } = visualTokenRange(config);
      const end = mostTiles(config) * visualTokenCount(config);
      let [fewest, largest] = [Infinity, 0];
      for (let i = 0; i < 3000; i++) {
        const [w, h] = [1 + (next() % 400), 1 + (next() % (i % 2 ? 400 : 20))];
        const order = visualOrder(config, chooseTiles(w, h, tilingOf(config), config.vision.imageSize));
        const tokens = order.filter((id) => id !== end);
        expect(new Set(tokens).size, `${name} ${w}x${h}, seed ${seed}`).toBe(tokens.length);
        expect(Math.max(...tokens)).toBeLessThan(end);
        fewest = Math.min(fewest, order.length);
        largest = Math.max(largest, order.length);
      }
      expect(fewest, name).toBeGreaterThanOrEqual(least);
      // Reached: the bound is no larger than it must be.
      expect(largest, name).toBe(most);
    }
  });
});

test('a picture of extreme ratio is cut without a huge picture in between', () => {
  for (const name of ['anyres-336', 'dynamic-448']) {
    const config = modelConfig(name, 4);
    const side = config.vision.imageSize;
    for (const [w, h] of [
      [65_535, 1],
      [1, 65_535],
    ]) {
      const { tiles } = cutTiles(goldenSource('ramp', 1, w, h), tilingOf(config), side);
      expect(tiles.every(({ data }) => data.length === 3 * side * side)).toBe(true);
    }
  }
});
