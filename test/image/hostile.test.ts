import { readdirSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ArgumentError, LlavaSpError, UnsupportedError } from '../../packages/core/src/errors/index.ts';
import { createImageDecoder } from '../../packages/core/src/image/decode.ts';
import { readHeader, sniff } from '../../packages/core/src/image/header.ts';
import {
  checkSize,
  MAX_SIDE,
  type Pixels,
  pixelsFromRaw,
  type RawImage,
} from '../../packages/core/src/image/pixels.ts';
import { loadCodec } from '../../packages/node/src/image/codecs.ts';
import { avifOrientations } from './avif-orientations.ts';
import { xorshift32 } from './sources.ts';

const folder = new URL('../golden/images/', import.meta.url);
const files = readdirSync(folder)
  .filter((name) => /\.(jpg|png|webp|avif)$/.test(name))
  .sort();
const read = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
const decode = createImageDecoder(loadCodec);

const seed = 424242;
const random = xorshift32(seed);
const below = (n: number) => random() % n;

/** Flips, overwrites, cuts, doubles or drops a few bytes, mostly among the first `reach`. */
function mutate(bytes: Uint8Array, reach: number): Uint8Array {
  const edge = [0, 1, 2, 0x7f, 0x80, 0xd8, 0xda, 0xfe, 0xff];
  let out: Uint8Array = bytes.slice();
  for (let n = 1 + below(4); n > 0; n--) {
    const at = below(Math.max(Math.min(out.length, reach), 1));
    const kind = below(10);
    if (kind < 3) out[at] ^= 1 << below(8);
    else if (kind < 6) out[at] = edge[below(edge.length)];
    else if (kind === 6) out.fill(edge[below(edge.length)], at, at + 1 + below(8));
    else if (kind === 7) out = out.slice(0, at);
    else if (kind === 8) out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + below(8))]);
    else out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(Math.max(at - below(16), 0))]);
  }
  return out;
}

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('10,000 mutated headers: each is read or is one LlavaSpError, without a hang', () => {
  const sources = [
    ...files.map(read),
    ...avifOrientations.map(({ file }) => new Uint8Array(Buffer.from(file, 'base64'))),
  ];
  const outcomes = new Map<string, number>();
  let slowest = 0;
  for (let i = 0; i < 10_000; i++) {
    const bytes = mutate(sources[i % sources.length], i % 3 === 0 ? 64 : 400);
    const start = performance.now();
    const error = errorOf(() => {
      const { width, height, orientation } = readHeader(bytes);
      if (!(width >= 1 && height >= 1 && width * height <= 50e6))
        throw new Error(`accepted ${width}x${height}`);
      if (!(orientation >= 1 && orientation <= 8)) throw new Error(`orientation ${orientation}`);
    });
    slowest = Math.max(slowest, performance.now() - start);
    if (error !== undefined && !(error instanceof LlavaSpError)) {
      throw new Error(`case ${i}, seed ${seed}: ${Buffer.from(bytes).toString('base64')}`, { cause: error });
    }
    const outcome = error === undefined ? 'read' : error.code;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  console.log(`seed ${seed}, slowest ${slowest.toFixed(1)} ms:`, Object.fromEntries(outcomes));
  // Each way out has been taken, so the mutations reach the readers.
  for (const wanted of [
    'read',
    'IMAGE_DECODE_FAILED',
    'IMAGE_TOO_LARGE',
    'IMAGE_EMPTY',
    'IMAGE_UNSUPPORTED_FORMAT',
  ]) {
    expect(outcomes.get(wanted) ?? 0, wanted).toBeGreaterThan(10);
  }
  expect(slowest).toBeLessThan(1000);
});

test('600 mutated files through the decoders: a picture or one LlavaSpError, and the decoders stay usable', async () => {
  const outcomes = new Map<string, number>();
  for (let i = 0; i < 600; i++) {
    const bytes = mutate(read(files[i % files.length]), 1500);
    let outcome = 'decoded';
    try {
      const { data, width, height } = await decode(bytes, { maxPixels: 1_000_000 });
      expect(data.length).toBe(width * height * 3);
    } catch (error) {
      if (!(error instanceof LlavaSpError)) {
        throw new Error(`case ${i}, seed ${seed}: ${Buffer.from(bytes).toString('base64')}`, {
          cause: error,
        });
      }
      outcome = error.code;
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  console.log(`seed ${seed}:`, Object.fromEntries(outcomes));
  expect(outcomes.get('decoded')).toBeGreaterThan(10);
  expect(outcomes.get('IMAGE_DECODE_FAILED')).toBeGreaterThan(10);
  for (const name of ['jpeg-420.jpg', 'jpeg-cmyk.jpg', 'png-rgb.png', 'webp-lossy.webp', 'avif-444.avif']) {
    expect((await decode(read(name))).width).toBeGreaterThan(1);
  }
});

test('a PNG with damaged data under right checksums traps its decoder, not the next picture', async () => {
  const bytes = read('png-rgb.png');
  const view = new DataView(bytes.buffer);
  const at = Buffer.from(bytes).indexOf('IDAT');
  const end = at + 4 + view.getUint32(at - 4);
  bytes.fill(0xff, at + 8, at + 40);
  view.setUint32(end, crc32(bytes.subarray(at, end)));
  for (let i = 0; i < 20; i++)
    await expect(decode(bytes)).rejects.toMatchObject({ code: 'IMAGE_DECODE_FAILED' });
  expect((await decode(read('png-rgb.png'))).width).toBe(21);
});

test('a file cut anywhere is an error', async () => {
  for (const name of [
    'jpeg-420.jpg',
    'jpeg-progressive.jpg',
    'jpeg-cmyk.jpg',
    'png-rgb.png',
    'webp-lossy.webp',
    'webp-lossless.webp',
    'avif-444.avif',
  ]) {
    const bytes = read(name);
    for (let i = 1; i < 24; i++) {
      const length = Math.floor((bytes.length * i) / 24);
      const error: unknown = await decode(bytes.subarray(0, length)).catch((reason: unknown) => reason);
      expect(error, `${name} cut to ${length}`).toBeInstanceOf(LlavaSpError);
    }
    // PNG's last four bytes are the checksum of its empty last chunk: nothing of the picture.
    const short = bytes.subarray(0, bytes.length - (name.startsWith('png') ? 12 : 2));
    await expect(decode(short), `${name} without its end`).rejects.toMatchObject({
      code: 'IMAGE_DECODE_FAILED',
    });
  }
});

test('pictures decoded at the same time do not mix', async () => {
  const names = files.filter((name) => /^(jpeg|png|webp|avif)-/.test(name));
  const alone: Uint8Array[] = [];
  for (const name of names) alone.push((await decode(read(name))).data);
  const together = await Promise.all(names.map((name) => decode(read(name))));
  together.forEach(({ data }, i) => expect(Buffer.compare(data, alone[i]), names[i]).toBe(0));
});

test('AVIF is turned and mirrored as its boxes say', async () => {
  for (const { orientation, width, height, file, rgb } of avifOrientations) {
    const result = await decode(new Uint8Array(Buffer.from(file, 'base64')));
    expect([result.width, result.height], `orientation ${orientation}`).toEqual([width, height]);
    const wanted = Buffer.from(rgb, 'base64');
    // YUV to RGB may differ by a level or two between builds of libavif; a wrong turn differs by 100 and more.
    const worst = result.data.reduce((max, v, i) => Math.max(max, Math.abs(v - wanted[i])), 0);
    expect(worst, `orientation ${orientation}`).toBeLessThanOrEqual(3);
  }
});

test('AVIF: every pair of a turn and a mirror', async () => {
  const base = await decode(new Uint8Array(Buffer.from(avifOrientations[0].file, 'base64')));
  // This file has both boxes: their values are patched.
  const file = Buffer.from(avifOrientations[4].file, 'base64');
  for (let angle = 0; angle < 4; angle++) {
    for (let mirror = 0; mirror < 2; mirror++) {
      file[file.indexOf('irot') + 4] = angle;
      file[file.indexOf('imir') + 4] = mirror;
      // By the definition: quarter turns counter-clockwise, then top and bottom (0) or left and right (1) swapped.
      let rows = rowsOf(base);
      for (let i = 0; i < angle; i++)
        rows = rows[0].map((_, x) => rows.map((row) => row[row.length - 1 - x]));
      rows = mirror === 0 ? rows.reverse() : rows.map((row) => row.reverse());
      expect(rowsOf(await decode(file)), `angle ${angle}, mirror ${mirror}`).toEqual(rows);
    }
  }
});

function rowsOf({ data, width, height }: Pixels): string[][] {
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) =>
      data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3).join(),
    ),
  );
}

test('limits and signals', async () => {
  const bytes = read('png-rgb.png');
  await expect(decode(bytes, { maxPixels: 21 * 13 - 1 })).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  await expect(decode(bytes, { maxPixels: 21 * 13 })).resolves.toMatchObject({ width: 21 });
  await expect(decode(bytes, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
  const controller = new AbortController();
  const running = decode(bytes, { signal: controller.signal });
  controller.abort();
  await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
});

test('a decoder that can not be loaded is an error of its own, and is tried again', async () => {
  let calls = 0;
  const flaky = createImageDecoder(async (specifier) => {
    if (calls++ === 0) throw new Error('disk on fire');
    return loadCodec(specifier);
  });
  await expect(flaky(read('png-rgb.png'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  await expect(flaky(read('png-rgb.png'))).resolves.toMatchObject({ width: 21 });
});

test('an animated WebP, and a progressive JPEG of thousands of scans', async () => {
  const animated = Uint8Array.from(
    Buffer.from('RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0b\0\0\x07\0\0', 'latin1'),
  );
  expect(sniff(animated)).toBe('webp');
  expect(errorOf(() => readHeader(animated))).toBeInstanceOf(UnsupportedError);
  const jpeg = read('jpeg-progressive.jpg');
  const scan = Uint8Array.from([0xff, 0xda, 0, 2]);
  const many = Buffer.concat([
    jpeg.subarray(0, -2),
    ...Array.from({ length: 2000 }, () => scan),
    jpeg.subarray(-2),
  ]);
  await expect(decode(many)).rejects.toThrow(/scans/);
});

describe('pixelsFromRaw', () => {
  test('three channels are used as they are, four are flattened over white', () => {
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const rgb = pixelsFromRaw({ data, width: 2, height: 1 });
    expect(rgb).toEqual({ data, width: 2, height: 1, channels: 3 });
    expect(rgb.data).toBe(data);
    const clamped = Uint8ClampedArray.of(10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128);
    // Over white: v*a/255 + 255 - a.
    expect([...pixelsFromRaw({ data: clamped, width: 1, height: 3 }).data]).toEqual([
      10, 20, 30, 255, 255, 255, 127, 177, 255,
    ]);
  });

  const bad: [string, unknown, string][] = [
    ['too few bytes', { data: new Uint8Array(11), width: 2, height: 2 }, 'IMAGE_INVALID'],
    ['one channel', { data: new Uint8Array(4), width: 2, height: 2 }, 'IMAGE_INVALID'],
    ['a list', { data: [1, 2, 3], width: 1, height: 1 }, 'IMAGE_INVALID'],
    ['floats', { data: new Float32Array(3), width: 1, height: 1 }, 'IMAGE_INVALID'],
    ['a fraction', { data: new Uint8Array(3), width: 1.5, height: 1 }, 'IMAGE_INVALID'],
    ['no height', { data: new Uint8Array(3), width: 1 }, 'IMAGE_INVALID'],
    ['NaN', { data: new Uint8Array(3), width: NaN, height: 1 }, 'IMAGE_INVALID'],
    ['0x0', { data: new Uint8Array(0), width: 0, height: 0 }, 'IMAGE_EMPTY'],
    ['a negative size', { data: new Uint8Array(3), width: -1, height: -1 }, 'IMAGE_EMPTY'],
    ['100 megapixels', { data: new Uint8Array(0), width: 10_000, height: 10_000 }, 'IMAGE_TOO_LARGE'],
    [
      'too long a side',
      { data: new Uint8Array(3 * (MAX_SIDE + 1)), width: MAX_SIDE + 1, height: 1 },
      'IMAGE_TOO_LARGE',
    ],
  ];
  for (const [what, image, code] of bad) {
    test(`refuses ${what}`, () => {
      const error = errorOf(() => pixelsFromRaw(image as RawImage));
      expect(error).toBeInstanceOf(ArgumentError);
      expect((error as ArgumentError).code).toBe(code);
    });
  }

  test('the limit is inclusive', () => {
    expect(errorOf(() => checkSize(10, 10, { maxPixels: 100 }))).toBeUndefined();
    expect(errorOf(() => checkSize(10, 10, { maxPixels: 99 }))).toBeInstanceOf(ArgumentError);
  });
});
