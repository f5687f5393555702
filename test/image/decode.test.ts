import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LlavaSpError } from '../../packages/core/src/errors/index.ts';
import { createImageDecoder } from '../../packages/core/src/image/decode.ts';
import type { Pixels } from '../../packages/core/src/image/pixels.ts';
import { loadCodec } from '../../packages/node/src/image/codecs.ts';

interface Manifest {
  images: {
    file: string;
    width: number;
    height: number;
    lossless: boolean;
    sha256: string;
    rgb?: string;
    maxDifference?: number;
  }[];
  broken: { file: string; why: string }[];
}

const read = (name: string) => readFileSync(new URL(`../golden/images/${name}`, import.meta.url));
const manifest = JSON.parse(read('manifest.json').toString()) as Manifest;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const decode = createImageDecoder(loadCodec);

const CODES: Record<string, string> = {
  'empty.bin': 'IMAGE_EMPTY',
  'zero-size.png': 'IMAGE_EMPTY',
  'huge.png': 'IMAGE_TOO_LARGE',
  'huge.jpg': 'IMAGE_TOO_LARGE',
  'notanimage.bin': 'IMAGE_UNSUPPORTED_FORMAT',
  'unsupported.gif': 'IMAGE_UNSUPPORTED_FORMAT',
};

async function errorOf(promise: Promise<unknown>): Promise<LlavaSpError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof LlavaSpError)) throw new Error('an LlavaSpError was expected', { cause: error });
  expect(error.message.length).toBeGreaterThan(10);
  expect(error.fix.length).toBeGreaterThan(10);
  return error;
}

describe('every stored form decodes to the stored pixels', () => {
  test('there are images', () => expect(manifest.images.length).toBeGreaterThan(35));
  for (const image of manifest.images) {
    test(image.file, async () => {
      const result = await decode(read(image.file));
      expect([result.width, result.height, result.channels]).toEqual([image.width, image.height, 3]);
      expect(result.data.length).toBe(image.width * image.height * 3);
      if (image.lossless || image.maxDifference === 0) {
        expect(sha256(result.data)).toBe(image.sha256);
      } else {
        const wanted = read(image.rgb ?? '');
        const worst = result.data.reduce((max, v, i) => Math.max(max, Math.abs(v - wanted[i])), 0);
        console.log(`${image.file}: largest difference ${worst}, allowed ${image.maxDifference}`);
        expect(worst).toBeLessThanOrEqual(image.maxDifference ?? -1);
      }
    });
  }
});

describe('a broken file is one error, and the next image decodes', () => {
  test('there are broken files', () => expect(manifest.broken.length).toBeGreaterThan(10));
  for (const { file, why } of manifest.broken) {
    test(`${file}: ${why}`, async () => {
      const error = await errorOf(decode(read(file)));
      expect(error.code).toBe(CODES[file] ?? 'IMAGE_DECODE_FAILED');
      const good: Pixels = await decode(read('png-rgb.png'));
      expect(good.width).toBe(21);
    });
  }
});
