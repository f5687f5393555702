import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LoadError } from '../../packages/core/src/errors/index.ts';
import { createImageDecoder } from '../../packages/core/src/image/decode.ts';
import { fit, preprocess } from '../../packages/core/src/image/preprocess.ts';
import { parsePreprocessor } from '../../packages/core/src/image/preprocessor.ts';
import { loadCodec } from '../../packages/node/src/image/codecs.ts';
import { goldenSource } from './sources.ts';

interface Golden {
  configs: Record<string, unknown>;
  cases: {
    config: string;
    image_aspect_ratio: 'pad' | null;
    pattern: string;
    seed: number;
    source: [number, number];
    target: [number, number];
    bytesSha256: string;
    pixelsSha256: string;
  }[];
}

const goldenFolder = new URL('../golden/', import.meta.url);
const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, goldenFolder), 'utf8'));
const golden = readJson('resize/preprocess.json') as Golden;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

describe('pixels equal those of the image processors on Pillow images, to the last bit', () => {
  test('there are cases', () => expect(golden.cases.length).toBeGreaterThanOrEqual(30));
  for (const c of golden.cases) {
    const aspect = c.image_aspect_ratio ?? 'original';
    test(`${c.config}, ${aspect}, ${c.source.join('x')} ${c.pattern}`, () => {
      const config = parsePreprocessor(golden.configs[c.config]);
      const source = goldenSource(c.pattern, c.seed, ...c.source);
      const bytes = fit(source, config, aspect).pixels;
      expect([bytes.width, bytes.height]).toEqual(c.target);
      expect(sha256(bytes.data)).toBe(c.bytesSha256);
      expect(sha256(bytesOf(preprocess(source, config, aspect).pixels))).toBe(c.pixelsSha256);
    });
  }
});

describe("a golden model's picture becomes its stored pixels", () => {
  for (const [name, aspect] of [
    ['cropping', 'pad'],
    ['pooling', 'original'],
    ['plain', 'pad'],
  ] as const) {
    test(name, async () => {
      const decode = createImageDecoder(loadCodec);
      const image = await decode(readFileSync(new URL(`${name}/image.png`, goldenFolder)));
      const config = parsePreprocessor(readJson(`${name}/preprocessor_config.json`));
      const { pixels, width, height } = preprocess(image, config, aspect);
      const stored = readTensor(readFileSync(new URL(`${name}/golden.safetensors`, goldenFolder)), 'pixels');
      expect(stored.shape).toEqual([3, height, width]);
      let worst = 0;
      pixels.forEach((v, i) => (worst = Math.max(worst, Math.abs(v - stored.values[i]))));
      // The stored ones may be float64's, rounded once where the processors round three times.
      console.log(`${name}: largest difference ${worst}`);
      expect(worst).toBeLessThanOrEqual(1e-6);
    });
  }
});

function readTensor(file: Buffer, name: string): { shape: number[]; values: Float32Array } {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  const { shape, data_offsets } = header[name];
  const bytes = Uint8Array.from(file.subarray(8 + length + data_offsets[0], 8 + length + data_offsets[1]));
  return { shape, values: new Float32Array(bytes.buffer) };
}

test('a crop larger than the resized picture puts black around it, one more row before than after', () => {
  const config = parsePreprocessor({
    do_resize: false,
    crop_size: { height: 8, width: 4 },
    do_rescale: false,
    image_mean: [0, 0, 0],
    image_std: [1, 1, 1],
  });
  const source = goldenSource('noise', 7, 5, 3);
  const { pixels, width, height } = preprocess(source, config, 'original');
  expect([width, height]).toEqual([4, 8]);
  for (let y = 0; y < 8; y++) {
    for (let x = 0; x < 4; x++) {
      // As Hugging Face's center_crop: ceil((8-3)/2) = 3 rows before; floor((5-4)/2) = 0 columns cut off.
      const inside = y >= 3 && y < 6;
      for (let c = 0; c < 3; c++) {
        expect(pixels[(c * 8 + y) * 4 + x]).toBe(inside ? source.data[((y - 3) * 5 + x) * 3 + c] : 0);
      }
    }
  }
});

test('a picture of extreme ratio takes no more memory than its input', () => {
  const config = parsePreprocessor(golden.configs['clip-336']);
  for (const [w, h] of [
    [65_535, 1],
    [1, 65_535],
  ]) {
    const result = preprocess(goldenSource('ramp', 1, w, h), config, 'original');
    expect(result.pixels.length).toBe(3 * 336 * 336);
    expect(preprocess(goldenSource('ramp', 1, w, h), config, 'pad').pixels.every(Number.isFinite)).toBe(true);
  }
});

describe('parsePreprocessor', () => {
  const good = golden.configs['clip-336'] as Record<string, unknown>;

  test('old files: numbers for sizes, rescaling unmentioned', () => {
    const { do_rescale, rescale_factor, ...rest } = good;
    expect([do_rescale, rescale_factor]).toEqual([true, 1 / 255]);
    expect(parsePreprocessor({ ...rest, size: 336, crop_size: 336 })).toEqual(parsePreprocessor(good));
  });

  const bad: [string, unknown][] = [
    ['null', null],
    ['a list', []],
    ['a string', 'x'],
    ['no size', { ...good, size: undefined }],
    ['an empty size', { ...good, size: {} }],
    ['a size of 0', { ...good, size: { shortest_edge: 0 } }],
    ['a fraction', { ...good, size: { shortest_edge: 33.5 } }],
    ['a size of gigabytes', { ...good, size: { shortest_edge: 1e6 } }],
    ['a longest edge', { ...good, size: { shortest_edge: 336, longest_edge: 600 } }],
    ['half a crop size', { ...good, crop_size: { height: 336 } }],
    ['a crop without a size', { ...good, crop_size: null }],
    ['another filter', { ...good, resample: 2 }],
    ['two means', { ...good, image_mean: [0.5, 0.5] }],
    ['a mean of text', { ...good, image_mean: [0.5, 0.5, '0.5'] }],
    ['no mean', { ...good, image_mean: undefined }],
    ['a deviation of 0', { ...good, image_std: [0.5, 0, 0.5] }],
    ['a factor of 0', { ...good, rescale_factor: 0 }],
    ['a factor of text', { ...good, rescale_factor: '1/255' }],
    ['a flag of text', { ...good, do_resize: 'yes' }],
  ];
  for (const [what, json] of bad) {
    test(`refuses ${what}`, () => {
      let error: unknown;
      try {
        parsePreprocessor(json);
      } catch (reason) {
        error = reason;
      }
      expect(error).toBeInstanceOf(LoadError);
      expect((error as LoadError).code).toBe('CONFIG_INVALID');
    });
  }
});
