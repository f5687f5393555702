import { LoadError } from '@llava-sp/core';
import { parseModelConfig } from '@llava-sp/core/formats';
import type { Plan } from '../contract.ts';
import { readJson, type Checkpoint } from '../sources/checkpoint.ts';
import { assemble } from './assemble.ts';
import { Located } from './located.ts';
import { whole } from './names.ts';
import { spatialName } from './spatial.ts';
import { wantedTensors } from './wanted.ts';

/**
 * A folder that has the device's names and files already, its weights as floats: what a recipe exports. All but the
 * weights is kept as it is.
 *
 * @throws {LoadError} `CHECKPOINT_UNKNOWN` when it is quantised; `MODEL_FILE_MISSING`, `CONFIG_INVALID`, `WEIGHTS_MISSING`,
 *   `WEIGHTS_SHAPE`, `WEIGHTS_DTYPE`.
 */
export async function readOnDevice(
  config: Readonly<Record<string, unknown>>,
  { files, tensors }: Checkpoint,
  signal?: AbortSignal,
): Promise<Omit<Plan, 'sources' | 'close' | 'license'>> {
  if (config.quantization !== undefined) throw quantised(files.location);
  const parsed = parseModelConfig(config);
  const { text, spatial } = parsed;
  const located = new Located();
  located.add(tensors.values(), whole);
  const preprocessor = await readJson(files, 'preprocessor_config.json', signal);
  if (!preprocessor) throw noPreprocessor(files.location);
  const generation = await readJson(files, 'generation_config.json', signal);
  return {
    layout: 'on-device floats',
    variant: spatialName(spatial),
    config,
    preprocessor,
    generation: generation ?? { bos_token_id: text.bos, eos_token_id: text.eos },
    tokenizer: { files, form: 'ready' },
    ...assemble(wantedTensors(parsed), located, new Map()),
  };
}

function quantised(location: string): LoadError {
  return new LoadError({
    code: 'CHECKPOINT_UNKNOWN',
    message: `${location} is an on-device folder already, quantised by the converter or by MLX.`,
    fix: 'Load it as it is; to store it in another way, convert the published checkpoint.',
  });
}

function noPreprocessor(location: string): LoadError {
  return new LoadError({
    code: 'MODEL_FILE_MISSING',
    message: `There is no preprocessor_config.json in ${location}.`,
    fix: 'Export or download the whole folder: it says how pictures become the input.',
  });
}
