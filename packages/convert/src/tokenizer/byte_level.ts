import { LoadError } from '@llava-sp/core';
import { addedToken, type AddedToken } from './llama.ts';

/** Qwen2's: words with their space, numbers digit by digit, runs of other signs, line breaks, spaces. */
const words =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * `tokenizer.json` of Qwen2's byte-level files: `vocab.json`, `merges.txt`, and the tokens of `added_tokens.json` or of
 * `added_tokens_decoder` in tokenizer_config.json.
 *
 * @throws {LoadError} `TOKENIZER_INVALID` naming the file.
 */
export function byteLevelTokenizer(
  vocab: unknown,
  merges: string,
  added: readonly AddedToken[],
): Record<string, unknown> {
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) throw invalid('vocab.json');
  const pairs = merges
    .split(/\r?\n/)
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
    .map((line) => line.split(' '));
  if (pairs.some((pair) => pair.length !== 2)) throw invalid('merges.txt');
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...added].sort((a, b) => a.id - b.id),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: words }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: pairs,
    },
  };
}

/** The tokens of `added_tokens.json`, all special, and of `added_tokens_decoder`, which says more and counts more. */
export function collectAdded(addedJson: unknown, config: Readonly<Record<string, unknown>>): AddedToken[] {
  const tokens = new Map<number, AddedToken>();
  for (const [content, id] of Object.entries(addedJson ?? {})) {
    if (!Number.isInteger(id)) throw invalid('added_tokens.json');
    tokens.set(id as number, addedToken(id as number, content));
  }
  for (const [key, value] of Object.entries(config.added_tokens_decoder ?? {})) {
    const { content, special } = (value ?? {}) as { content?: unknown; special?: unknown };
    if (!/^\d+$/.test(key) || typeof content !== 'string') throw invalid('tokenizer_config.json');
    tokens.set(Number(key), addedToken(Number(key), content, special === true));
  }
  return [...tokens.values()];
}

function invalid(file: string): LoadError {
  return new LoadError({
    code: 'TOKENIZER_INVALID',
    message: `${file} of the published model is not what a byte-level tokenizer has.`,
    fix: 'Download the file again, or put a tokenizer.json beside it.',
  });
}
