import { LoadError, type ModelFiles } from '@llava-sp/core';
import type { Fields, TextConfig } from '@llava-sp/core/formats';
import type { PromptFamily, PublishedTokenizer } from '../contract.ts';
import { readJson } from '../sources/checkpoint.ts';
import type { Described, Dialect } from './described.ts';

const ids = { min: 0, max: 2 ** 31 - 1 };

/**
 * The tokenizer's files, and the token that stands for the image: the configuration's id, or the one the tokenizer knows,
 * or a new one behind the vocabulary, as LLaVA's own code never tokenises `<image>`.
 *
 * @param folders the first that has a tokenizer is taken.
 * @throws {LoadError} `MODEL_FILE_MISSING`, `CONFIG_INVALID`.
 */
export async function tokenizerSource(
  folders: readonly ModelFiles[],
  { dialect, config, text }: Described,
  decoder: TextConfig,
  signal?: AbortSignal,
): Promise<PublishedTokenizer> {
  const { files, form } = await findTokenizer(folders);
  const added = await addedTokens(files, signal);
  const configured = imageId(config);
  const usual = dialect === 'internvl' ? '<IMG_CONTEXT>' : '<image>';
  const named = configured === null ? usual : ([...added].find(([, id]) => id === configured)?.[0] ?? usual);
  const known = added.get(named);
  const id = configured ?? known ?? decoder.vocab;
  const image = { token: named, id, absent: known === undefined };
  return { files, form, image, prompt: promptFamily(dialect, text.model_type, decoder) };
}

function imageId(config: Fields): number | null {
  for (const key of ['image_token_index', 'image_token_id', 'img_context_token_id'])
    // LLaVA's own code marks the image by -200 while it splices.
    if (config.has(key) && config.raw(key) !== -200) return config.integer(key, ids);
  return null;
}

function promptFamily(dialect: Dialect, modelType: unknown, decoder: TextConfig): PromptFamily {
  if (dialect === 'internvl') return 'internvl';
  if (modelType === 'mistral') return 'mistral';
  return decoder.type === 'qwen2' ? 'chatml' : 'vicuna_v1';
}

async function findTokenizer(
  folders: readonly ModelFiles[],
): Promise<{ files: ModelFiles; form: PublishedTokenizer['form'] }> {
  for (const files of folders) {
    if (await files.has('tokenizer.json')) return { files, form: 'json' };
    if (await files.has('tokenizer.model')) return { files, form: 'sentencepiece' };
    if ((await files.has('vocab.json')) && (await files.has('merges.txt'))) return { files, form: 'bpe' };
  }
  throw new LoadError({
    code: 'MODEL_FILE_MISSING',
    message: `There is no tokenizer in ${folders.map(({ location }) => location).join(' or ')}.`,
    fix: 'Put tokenizer.json, tokenizer.model, or vocab.json and merges.txt beside the weights.',
  });
}

/** Added tokens by content, from whichever of the three files lists them. */
async function addedTokens(files: ModelFiles, signal?: AbortSignal): Promise<Map<string, number>> {
  const tokens = new Map<string, number>();
  const add = (content: unknown, id: unknown) => {
    if (typeof content === 'string' && Number.isSafeInteger(id)) tokens.set(content, id as number);
  };
  for (const [content, id] of Object.entries((await readJson(files, 'added_tokens.json', signal)) ?? {}))
    add(content, id);
  const decoder = (await readJson(files, 'tokenizer_config.json', signal))?.added_tokens_decoder;
  if (isObject(decoder)) {
    for (const [id, token] of Object.entries(decoder)) if (isObject(token)) add(token.content, Number(id));
  }
  const listed = (await readJson(files, 'tokenizer.json', signal))?.added_tokens;
  if (Array.isArray(listed)) {
    for (const token of listed as unknown[]) if (isObject(token)) add(token.content, token.id);
  }
  return tokens;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
