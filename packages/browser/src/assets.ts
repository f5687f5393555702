/** The files beside this package's code. Bundlers find them by these very words, and carry them along. */
import { bytesAt, type AssetName, type Platform } from './platform.ts';

const ADDRESSES: Readonly<Record<AssetName, URL>> = {
  'kernels.relaxed.wasm': new URL('./kernels.relaxed.wasm', import.meta.url),
  'kernels.simd.wasm': new URL('./kernels.simd.wasm', import.meta.url),
  'mozjpeg_dec.wasm': new URL('./mozjpeg_dec.wasm', import.meta.url),
  'squoosh_png_bg.wasm': new URL('./squoosh_png_bg.wasm', import.meta.url),
  'webp_dec.wasm': new URL('./webp_dec.wasm', import.meta.url),
  'avif_dec.wasm': new URL('./avif_dec.wasm', import.meta.url),
};

export const readAsset: Platform['readAsset'] = (name) => bytesAt(ADDRESSES[name]);
