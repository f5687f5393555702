/** Loads a model into a page's worker, for `load.ts`: over the network, then from the page's own storage. */
import { load as loadModel } from '../../packages/browser/src/index.ts';

export interface LoadRequest {
  readonly source: string;
  readonly threads: number;
  readonly repeats: number;
}

/** All in seconds. */
export interface LoadFigures {
  /** The first load, with its download and the hash of what came. */
  readonly download: number;
  /** From the first byte of the weights to the last, in loads from the cache; the fastest. */
  readonly weights: number;
  /** Those loads as a whole. */
  readonly load: number;
  /** The storage alone: the same files in pieces of 8 MB; the fastest. */
  readonly read: number;
  readonly bytes: number;
}

const PIECE = 8 << 20;

export default async function run({ source, threads, repeats }: LoadRequest): Promise<LoadFigures> {
  const first = await load(source, threads);
  let [weights, whole, read] = [Infinity, Infinity, Infinity];
  let bytes = 0;
  // In turns: what the machine does meanwhile is felt by both.
  for (let i = 0; i < repeats; i++) {
    const again = await load(source, threads);
    weights = Math.min(weights, again.weights);
    whole = Math.min(whole, again.whole);
    const start = performance.now();
    bytes = await readAll(await navigator.storage.getDirectory());
    read = Math.min(read, (performance.now() - start) / 1000);
  }
  return { download: first.whole, weights, load: whole, read, bytes };
}

async function load(source: string, threads: number): Promise<{ whole: number; weights: number }> {
  const start = performance.now();
  let [begin, end] = [0, 0];
  const model = await loadModel(source, {
    device: 'wasm',
    threads,
    context: 300,
    onProgress({ phase }) {
      if (phase !== 'weights') return;
      end = performance.now();
      begin ||= end;
    },
  });
  await model.dispose();
  return { whole: (performance.now() - start) / 1000, weights: (end - begin) / 1000 };
}

/** Reads every file of weights below a folder, and gives their bytes. */
async function readAll(folder: FileSystemDirectoryHandle): Promise<number> {
  let bytes = 0;
  for await (const handle of folder.values()) {
    if (handle.kind === 'directory') bytes += await readAll(handle);
    else if (handle.name.endsWith('.safetensors')) {
      const file = await handle.getFile();
      for (let at = 0; at < file.size; at += PIECE) {
        bytes += (await file.slice(at, at + PIECE).arrayBuffer()).byteLength;
      }
    }
  }
  return bytes;
}
