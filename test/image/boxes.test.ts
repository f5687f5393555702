import { describe, expect, test } from 'vitest';
import {
  type Box,
  formatBox,
  formatThousandths,
  inputToSource,
  paddedToSource,
  parseBoxes,
  parseThousandths,
  pictureToSource,
  sourceToInput,
  sourceToPadded,
  sourceToPicture,
} from '../../packages/core/src/image/boxes.ts';
import { fit } from '../../packages/core/src/image/preprocess.ts';
import { parsePreprocessor } from '../../packages/core/src/image/preprocessor.ts';
import { preprocessTiles } from '../../packages/core/src/image/tiling.ts';
import { xorshift32 } from './sources.ts';

const seed = 7070;
const random = xorshift32(seed);
const below = (n: number) => random() % n;
const fraction = () => random() / 2 ** 32;

const config = (edge: number, crop: number) =>
  parsePreprocessor({ size: { shortest_edge: edge }, crop_size: crop, do_normalize: false });

function expectClose(a: Box, b: Box, tolerance: number, what: string): void {
  const worst = Math.max(...a.map((v, i) => Math.abs(v - b[i])));
  expect(worst, `${what}: ${a.join(' ')} / ${b.join(' ')}, seed ${seed}`).toBeLessThanOrEqual(tolerance);
}

test('by hand: a wide picture of 101x50 is padded by 25 rows above', () => {
  expect(paddedToSource([0, 0, 1, 1], 101, 50)).toEqual([0, 0, 101, 50]);
  expect(paddedToSource([0.5, 25 / 101, 1, 75 / 101], 101, 50)).toEqual([50.5, 0, 101, 50]);
  expect(sourceToPadded([0, 0, 101, 50], 101, 50)).toEqual([0, 25 / 101, 1, 75 / 101]);
});

test('by hand: 200x100, resized to 100x50 and cropped to its middle 50x50', () => {
  const { geometry } = fit(blank(200, 100), config(50, 50), 'original');
  expect(inputToSource([0, 0, 1, 1], geometry)).toEqual([50, 0, 150, 100]);
  expect(sourceToInput([0, 0, 200, 100], geometry)).toEqual([-0.5, 0, 1.5, 1]);
});

test('source to padded and back is the same box, for any size', () => {
  for (let i = 0; i < 5000; i++) {
    const [w, h] = [1 + below(5000), 1 + below(5000)];
    const box = randomBox(w, h);
    const padded = sourceToPadded(box, w, h);
    expect(padded.every((v) => v >= 0 && v <= 1)).toBe(true);
    expectClose(paddedToSource(padded, w, h), box, 1e-9 * Math.max(w, h), `${w}x${h}`);
  }
});

test('source to input and back is the same box, with padding and with crops; clipped to the source', () => {
  for (let i = 0; i < 2000; i++) {
    const [w, h] = [1 + below(80), 1 + below(80)];
    const crop = 1 + below(30);
    const aspect = i % 2 ? 'pad' : 'original';
    const { geometry } = fit(blank(w, h), config(1 + below(30), crop), aspect);
    const box = randomBox(w, h);
    const input = sourceToInput(box, geometry);
    expectClose(inputToSource(input, geometry), box, 1e-9 * 80, `${w}x${h} ${aspect}`);
    const wild: Box = [fraction() * 4 - 2, fraction() * 4 - 2, fraction() * 4 - 2, fraction() * 4 - 2];
    const clipped = inputToSource(wild, geometry);
    expect(clipped.every((v, k) => v >= 0 && v <= (k % 2 ? h : w))).toBe(true);
  }
});

test('with padding and no further crop, the input is the padded square', () => {
  for (let i = 0; i < 500; i++) {
    const [w, h, side] = [1 + below(80), 1 + below(80), 1 + below(40)];
    const { geometry } = fit(blank(w, h), config(side, side), 'pad');
    const box: Box = [fraction(), fraction(), fraction(), fraction()];
    expectClose(inputToSource(box, geometry), paddedToSource(box, w, h), 1e-9 * 80, `${w}x${h}`);
  }
});

test('geometry agrees with the pixels: a bright patch is where its box says', () => {
  for (let i = 0; i < 200; i++) {
    const [w, h] = [60 + below(100), 60 + below(100)];
    const source = blank(w, h);
    const size = 20;
    const x = below(w - size);
    const y = below(h - size);
    for (let row = y; row < y + size; row++)
      source.data.fill(255, (row * w + x) * 3, (row * w + x + size) * 3);
    const aspect = i % 2 ? 'pad' : 'original';
    const { pixels, geometry } = fit(source, config(70, 50), aspect);
    const [x1, y1, x2, y2] = sourceToInput([x, y, x + size, y + size], geometry);
    const cx = Math.floor(((x1 + x2) / 2) * pixels.width);
    const cy = Math.floor(((y1 + y2) / 2) * pixels.height);
    if (cx < 0 || cy < 0 || cx >= pixels.width || cy >= pixels.height) continue;
    expect(pixels.data[(cy * pixels.width + cx) * 3], `case ${i}, seed ${seed}`).toBeGreaterThan(240);
    // Left of the box by more than the filter's reach there is none of it.
    const left = Math.floor(x1 * pixels.width) - 4;
    if (left >= 0) expect(pixels.data[(cy * pixels.width + left) * 3 + 1]).toBeLessThan(130);
  }
});

describe('parseBoxes', () => {
  test('finds boxes among words', () => {
    expect(parseBoxes('It is at [0.12, 0.3, 0.456, 1.0], and [0,0,1,1].')).toEqual([
      [0.12, 0.3, 0.456, 1],
      [0, 0, 1, 1],
    ]);
    expect(parseBoxes('[ .5 , 0.5 ,0.75, 1 ]')).toEqual([[0.5, 0.5, 0.75, 1]]);
  });

  test('is not taken in by other lists', () => {
    for (const text of [
      '',
      '[1, 2, 3, 4]',
      '[0.1, 0.2, 0.3]',
      '[0.1, 0.2, 0.3, 0.4, 0.5]',
      '[-0.1, 0, 0, 1]',
      '[0.1 0.2 0.3 0.4]',
      '[a, b, c, d]',
      '[0.1, 0.2, 0.3, 0.4',
    ]) {
      expect(parseBoxes(text), text).toEqual([]);
    }
  });

  test('reads what formatBox writes, to the last decimal', () => {
    for (let i = 0; i < 1000; i++) {
      const decimals = 2 + (i % 2);
      const box = [fraction(), fraction(), fraction(), fraction()] as const;
      const text = formatBox(box, decimals);
      expect(parseBoxes(text).map((b) => formatBox(b, decimals))).toEqual([text]);
      expectClose(parseBoxes(text)[0], box, 0.5 * 10 ** -decimals + 1e-12, text);
    }
  });

  test('a long text without an end is no trouble', () => {
    const start = performance.now();
    expect(parseBoxes('[0.1, '.repeat(20_000) + ' '.repeat(100_000) + '1'.repeat(100_000))).toEqual([]);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("InternVL's boxes", () => {
  test('are found with their tags and without them, several at once', () => {
    expect(parseThousandths('<ref>the dog</ref><box>[[120, 300, 456, 1000]]</box>')).toEqual([
      [0.12, 0.3, 0.456, 1],
    ]);
    expect(parseThousandths('the dogs[[0,0,10,20], [ 500 , 1, 1000,999 ]] and [[1, 2, 3, 4]]')).toEqual([
      [0, 0, 0.01, 0.02],
      [0.5, 0.001, 1, 0.999],
      [0.001, 0.002, 0.003, 0.004],
    ]);
  });

  test('other lists are none', () => {
    for (const text of [
      '',
      '[120, 300, 450, 900]',
      '[[0.1, 0.2, 0.3, 0.4]]',
      '[[1, 2, 3]]',
      '[[1, 2, 3, 1001]]',
      '[[1, 2, 3, 4]',
      '[[-1, 2, 3, 4]]',
    ]) {
      expect(parseThousandths(text), text).toEqual([]);
    }
  });

  test('what is written is read, and lies where it should in the picture', () => {
    for (let i = 0; i < 1000; i++) {
      const [w, h] = [1 + below(5000), 1 + below(5000)];
      const box = randomBox(w, h);
      const shares = sourceToPicture(box, w, h);
      expectClose(pictureToSource(shares, w, h), box, 1e-9 * Math.max(w, h), `${w}x${h}`);
      const [read] = parseThousandths(`it is at ${formatThousandths(shares)}.`);
      expectClose(read, shares, 0.5e-3 + 1e-12, `${w}x${h}`);
    }
  });

  test('boxes of a picture cut into tiles refer to the picture itself', () => {
    const tiling = { type: 'dynamic', min: 1, max: 6, thumbnail: true } as const;
    const { geometry } = preprocessTiles(blank(50, 31), config(16, 16), tiling, 16);
    expectClose(
      inputToSource([0.1, 0.2, 0.5, 1], geometry),
      pictureToSource([0.1, 0.2, 0.5, 1], 50, 31),
      1e-9,
      'tiles',
    );
  });

  test('a long text without an end is no trouble', () => {
    const start = performance.now();
    expect(parseThousandths('[[1, 2, 3, 4], '.repeat(20_000) + '['.repeat(100_000))).toEqual([]);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

function blank(width: number, height: number) {
  return { data: new Uint8Array(width * height * 3), width, height, channels: 3 as const };
}

function randomBox(w: number, h: number): Box {
  const [x1, x2] = [fraction() * w, fraction() * w].sort((a, b) => a - b);
  const [y1, y2] = [fraction() * h, fraction() * h].sort((a, b) => a - b);
  return [x1, y1, x2, y2];
}
