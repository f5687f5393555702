/** The golden checkpoints in published layouts (test/golden/published), converted. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createImageDecoder } from '../../packages/core/src/image/decode.ts';
import type { Pixels } from '../../packages/core/src/image/pixels.ts';
import { chooseTiles } from '../../packages/core/src/image/tiling.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { convert, type Quantisation } from '../../packages/convert/src/index.ts';
import { loadCodec } from '../../packages/node/src/image/codecs.ts';
import { readGolden } from './golden.ts';
import type { GoldenModel } from './golden_model.ts';

const root = new URL('../golden/published/', import.meta.url);

const floats: Partial<Quantisation> = {
  llm: 'f16',
  sfe: 'f16',
  detail: 'f16',
  vision: 'f16',
  projector: 'f16',
  embeddings: 'f16',
};

/** The parts of a published checkpoint of this name, as `convert` takes them. */
export async function publishedParts(
  name: string,
): Promise<{ checkpoint: string; base?: string; visionTower?: string }> {
  const folder = new URL(`${name}/`, root);
  const parts = await readdir(folder);
  const at = (part: string): string | undefined =>
    parts.includes(part) ? fileURLToPath(new URL(`${part}/`, folder)) : undefined;
  const checkpoint = at('adapter') ?? at('model');
  if (!checkpoint) throw new Error(`${name} has no checkpoint`);
  return { checkpoint, base: at('base'), visionTower: at('vision-tower') };
}

export interface Converted {
  /** The on-device folder, and what is true of it. */
  readonly model: GoldenModel & { readonly folder: URL };
  readonly image: Pixels;
  remove(): Promise<void>;
}

/** Converts a published checkpoint into a temporary folder; without `quantisation`, to f16, which holds its values exactly. */
export async function convertPublished(
  name: string,
  quantisation: Partial<Quantisation> = floats,
): Promise<Converted> {
  const out = await mkdtemp(join(tmpdir(), 'llava-sp-published-'));
  const remove = () => rm(out, { recursive: true, force: true });
  try {
    await convert({ ...(await publishedParts(name)), out, quantisation, threads: 1 });
    const folder = pathToFileURL(`${out}/`);
    const truth = new URL(`${name}/golden/`, root);
    const { golden, stages } = await readGolden(name, truth);
    // What the conversion found, not what the golden says.
    const config = parseModelConfig(JSON.parse(await readFile(new URL('config.json', folder), 'utf8')));
    const image = await createImageDecoder(loadCodec)(await readFile(new URL('image.png', truth)));
    const { tiling, vision } = config;
    const grid = tiling ? chooseTiles(image.width, image.height, tiling, vision.imageSize) : undefined;
    return { model: { name, golden, stages, config, folder, grid }, image, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
