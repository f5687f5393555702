/** For `deno test`: every stored picture decodes in Deno to the pixels that it decodes to in Node. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { denoHost } from '@llava-sp/deno';

interface Manifest {
  readonly images: {
    readonly file: string;
    readonly width: number;
    readonly height: number;
    readonly lossless: boolean;
    readonly sha256: string;
    readonly rgb?: string;
    readonly maxDifference?: number;
  }[];
  readonly broken: { readonly file: string }[];
}

const at = (name: string): URL => new URL(`../golden/images/${name}`, import.meta.url);
const manifest = JSON.parse(await Deno.readTextFile(at('manifest.json'))) as Manifest;

Deno.test('every form decodes to the stored pixels', async () => {
  const types = new Set<string>();
  for (const { file, width, height, lossless, sha256, rgb = '', maxDifference = -1 } of manifest.images) {
    types.add(file.slice(file.lastIndexOf('.') + 1));
    // Read as an application's picture is.
    const result = await denoHost.decodeImage(await denoHost.readImage(at(file)));
    deepEqual([result.width, result.height, result.data.length], [width, height, width * height * 3], file);
    if (lossless || maxDifference === 0) {
      equal(createHash('sha256').update(result.data).digest('hex'), sha256, file);
    } else {
      const wanted = await Deno.readFile(at(rgb));
      const worst = result.data.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
      ok(worst <= maxDifference, `${file}: ${worst}`);
    }
  }
  deepEqual([...types].sort(), ['avif', 'jpg', 'png', 'webp']);
});

Deno.test('broken ones are errors, and the next one decodes', async () => {
  for (const { file } of manifest.broken) {
    const decoding = denoHost.readImage(at(file)).then((bytes) => denoHost.decodeImage(bytes));
    await rejects(decoding, /^\w+Error: /, file);
  }
  equal((await denoHost.decodeImage(await denoHost.readImage(at('png-rgb.png')))).width, 21);
});
