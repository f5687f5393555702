/** The files that the self-contained module holds. */
import { fromBase64 } from '@llava-sp/core';
import simd from 'embedded:kernels.simd.wasm';
import relaxed from 'embedded:kernels.relaxed.wasm';
import jpeg from 'embedded:mozjpeg_dec.wasm';
import png from 'embedded:squoosh_png_bg.wasm';
import webp from 'embedded:webp_dec.wasm';
import type { AssetName } from './platform.ts';

/** Deflated (RFC 1951), in base64. */
const FILES: Readonly<Record<Exclude<AssetName, 'avif_dec.wasm'>, string>> = {
  'kernels.relaxed.wasm': relaxed,
  'kernels.simd.wasm': simd,
  'mozjpeg_dec.wasm': jpeg,
  'squoosh_png_bg.wasm': png,
  'webp_dec.wasm': webp,
};

export async function readEmbedded(name: keyof typeof FILES): Promise<Uint8Array<ArrayBuffer>> {
  const deflated = new Blob([fromBase64(FILES[name])]).stream();
  const inflated = deflated.pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}
