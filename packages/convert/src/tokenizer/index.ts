import { LoadError, type ModelFiles } from '@llava-sp/core';
import type { PromptFamily, TokenizerSource } from '../contract.ts';
import { byteLevelTokenizer, collectAdded } from './byte_level.ts';
import { addedToken, llamaTokenizer, type AddedToken } from './llama.ts';
import { parseSentencePiece } from './sentencepiece.ts';
import { chatTemplate } from './templates.ts';

/** The contents of `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  readonly tokenizer: Record<string, unknown>;
  readonly config: Record<string, unknown>;
}

type Json = Readonly<Record<string, unknown>>;

const maxBytes = 256e6;

/** The tokens that begin and end a text where the published files do not say. */
const usual: Readonly<Record<PromptFamily, { bos: string | null; eos: string }>> = {
  vicuna_v1: { bos: '<s>', eos: '</s>' },
  mistral: { bos: '<s>', eos: '</s>' },
  chatml: { bos: null, eos: '<|im_end|>' },
  internvl: { bos: null, eos: '<|im_end|>' },
};

/**
 * The on-device tokenizer of a published model, with its image token and chat template.
 *
 * @param context tokens that the model takes at most.
 * @throws {LoadError} `TOKENIZER_INVALID`, `MODEL_FILE_MISSING`, `FILE_UNREADABLE`.
 * @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` for a SentencePiece model that is not of LLaMA's kind.
 */
export async function convertTokenizer(
  source: TokenizerSource,
  context: number | null,
  signal?: AbortSignal,
): Promise<TokenizerFiles> {
  if (source.form === 'ready') {
    const [tokenizer, config] = await Promise.all(
      ['tokenizer.json', 'tokenizer_config.json'].map((name) => readJson(source.files, name, signal)),
    );
    return { tokenizer, config };
  }
  const { files, form, image, prompt } = source;
  const published = await readOptional(files, 'tokenizer_config.json', signal);
  let tokenizer: Record<string, unknown>;
  let begins = usual[prompt].bos !== null;
  let [bos, eos, unk] = [published.bos_token, published.eos_token, published.unk_token].map(tokenText);
  switch (form) {
    case 'json':
      tokenizer = await readJson(files, 'tokenizer.json', signal);
      break;
    case 'sentencepiece': {
      const model = parseSentencePiece(await readBytes(files, 'tokenizer.model', signal));
      tokenizer = llamaTokenizer(model);
      [bos, eos, unk] = [model.bos ?? undefined, model.eos ?? undefined, model.unknown];
      begins = model.bos !== null;
      break;
    }
    case 'bpe': {
      const merges = new TextDecoder().decode(await readBytes(files, 'merges.txt', signal));
      const added = collectAdded(await readOptional(files, 'added_tokens.json', signal), published);
      const vocab = await readJson(files, 'vocab.json', signal);
      tokenizer = byteLevelTokenizer(vocab, merges, added);
      break;
    }
    default:
      return form satisfies never;
  }
  if (typeof published.add_bos_token === 'boolean') begins = published.add_bos_token;
  return {
    tokenizer: image.absent ? withToken(tokenizer, image.token, image.id) : tokenizer,
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(context === null ? {} : { model_max_length: context }),
      bos_token: bos ?? usual[prompt].bos,
      eos_token:
        prompt === 'chatml' || prompt === 'internvl' ? usual[prompt].eos : (eos ?? usual[prompt].eos),
      unk_token: unk ?? null,
      pad_token: tokenText(published.pad_token) ?? null,
      additional_special_tokens: [image.token],
      add_bos_token: begins,
      add_eos_token: false,
      clean_up_tokenization_spaces: false,
      chat_template: chatTemplate(prompt, image.token),
    },
  };
}

/** The tokenizer with one more special token. */
function withToken(tokenizer: Json, content: string, id: number): Record<string, unknown> {
  const added = (tokenizer.added_tokens ?? []) as AddedToken[];
  const taken = added.find((token) => token.id === id || token.content === content);
  if (taken) {
    throw new LoadError({
      code: 'TOKENIZER_INVALID',
      message: `The image's token ${content} needs the id ${id}; the tokenizer has "${taken.content}" under ${taken.id}.`,
      fix: 'Check that the tokenizer belongs to this checkpoint.',
    });
  }
  return { ...tokenizer, added_tokens: [...added, addedToken(id, content)] };
}

function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}

async function readOptional(files: ModelFiles, name: string, signal?: AbortSignal): Promise<Json> {
  return (await files.has(name)) ? readJson(files, name, signal) : {};
}

async function readJson(
  files: ModelFiles,
  name: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const bytes = await readBytes(files, name, signal);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(`${name} is not JSON`, cause);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw invalid(`${name} is no object`);
  return json as Record<string, unknown>;
}

async function readBytes(files: ModelFiles, name: string, signal?: AbortSignal): Promise<Uint8Array> {
  const source = await files.open(name);
  try {
    if (source.size > maxBytes) throw invalid(`${name} has ${source.size} bytes, the limit is ${maxBytes}`);
    return await source.read(0, source.size, signal);
  } finally {
    await source.close();
  }
}

function invalid(what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'TOKENIZER_INVALID',
    message: `The published tokenizer can't be used: ${what}.`,
    fix: 'Download the file again.',
    cause,
  });
}
