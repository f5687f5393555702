import { inlineBytes } from '@llava-sp/core';

/** What differs between the builds of this package: where its files are, and how one of its workers starts. */
export interface Platform {
  /** A worker that runs this package's worker file. @throws where a worker can't be made. */
  startWorker(): Worker;
  /** The bytes of a file. */
  readAsset(name: AssetName): Promise<Uint8Array<ArrayBuffer>>;
}

/** Files that are no code: the kernels' builds and the image decoders. */
export type AssetName =
  | 'kernels.relaxed.wasm'
  | 'kernels.simd.wasm'
  | 'mozjpeg_dec.wasm'
  | 'squoosh_png_bg.wasm'
  | 'webp_dec.wasm'
  | 'avif_dec.wasm';

/** The bytes of a file of this package. */
export async function bytesAt(address: URL): Promise<Uint8Array<ArrayBuffer>> {
  const inline = inlineBytes(address);
  if (inline) return inline;
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address.href}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
