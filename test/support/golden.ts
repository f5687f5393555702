/** The golden folders (test/golden): models with every stage as computed by others' code. */
import { readFile, stat } from 'node:fs/promises';
import type { ByteSource, ModelFiles } from '../../packages/core/src/host.ts';
import { parseModelConfig, type ModelConfig } from '../../packages/core/src/models/config.ts';
import { parseHeader } from '../../packages/core/src/weights/safetensors.ts';

const root = new URL('../golden/', import.meta.url);

export interface Golden {
  readonly question: string;
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly greedy_tokens: readonly number[];
  readonly answer: string;
}

/** A folder as core sees it; files are read whole. */
export function folderFiles(folder: URL): ModelFiles {
  const at = (name: string) => new URL(name, folder);
  return {
    location: folder.pathname,
    has: (name) =>
      stat(at(name)).then(
        () => true,
        () => false,
      ),
    async open(name): Promise<ByteSource> {
      const bytes = new Uint8Array(await readFile(at(name)));
      return {
        size: bytes.length,
        read: (begin, end) => Promise.resolve(bytes.slice(begin, end)),
        close: () => Promise.resolve(),
      };
    },
  };
}

export function goldenFolder(name: string): URL {
  return new URL(`${name}/`, root);
}

export interface GoldenFiles {
  readonly golden: Golden;
  readonly config: ModelConfig;
  readonly stages: Map<string, Float32Array>;
}

/** What is true of a golden model; `folder` has golden.json, golden.safetensors and config.json. */
export async function readGolden(name: string, folder = goldenFolder(name)): Promise<GoldenFiles> {
  const json = async (file: string): Promise<unknown> =>
    JSON.parse(await readFile(new URL(file, folder), 'utf8'));
  const bytes = new Uint8Array(await readFile(new URL('golden.safetensors', folder)));
  const stages = new Map<string, Float32Array>();
  for (const [key, { begin, end }] of parseHeader(bytes, bytes.length).tensors) {
    stages.set(key, new Float32Array(bytes.slice(begin, end).buffer));
  }
  const golden = (await json('golden.json')) as Golden;
  return { golden, config: parseModelConfig(await json('config.json')), stages };
}
