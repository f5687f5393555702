import { LoadError, LlavaSpError, UnsupportedError } from '../errors/index.ts';
import { createDetokenizerFactory, createSpelling } from './detokenizer.ts';
import type { DecoderConfig, Detokenizer, Spelling, TokenTable } from './detokenizer.ts';
import { Tokenizer as HuggingFaceTokenizer } from './library.ts';
import type { LibraryTokenizer } from './library.ts';

/** Text to token ids and back, by `tokenizer.json` and `tokenizer_config.json`. */
export interface Tokenizer {
  /**
   * Ids of the text, with the special tokens written in it recognised, and without a beginning-of-sequence token.
   * Text of a user goes through {@link Tokenizer.escape} first.
   */
  encode(text: string): number[];
  /**
   * The same text, marked so that `encode` takes special tokens spelt in it (`<image>`, `</s>`) for plain characters.
   * The mark is U+FDD0, a code point that Unicode reserves for a program's own use; none of them reaches the model.
   */
  escape(text: string): string;
  /** The text without the marks that `escape` put in. */
  unescape(text: string): string;
  /** The text of all ids, without special tokens; ids outside the vocabulary are skipped. */
  decode(ids: Iterable<number>): string;
  /** A new one for each answer. */
  detokenizer(): Detokenizer;
  /** How its tokens are spelt. @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` where that is not known token by token. */
  spelling(): Spelling;
  /** Whether the token is special: not part of the text. */
  isSpecial(id: number): boolean;
  /** How a token is written in the vocabulary; `undefined` for an id outside of it. */
  token(id: number): string | undefined;
  /** The inverse of `token`. */
  id(token: string): number | undefined;
  /** What this tokenizer puts at the very start of a sequence: its beginning-of-sequence token, or nothing. */
  readonly prefix: readonly number[];
  /** Special tokens that a chat template may use by name. */
  readonly named: Readonly<Record<'bos_token' | 'eos_token' | 'unk_token' | 'pad_token', string | undefined>>;
}

type Json = Readonly<Record<string, unknown>>;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

const mark = '\uFDD0';
const maxAddedTokens = 100_000;

/**
 * Makes a tokenizer from the two files, already parsed from JSON.
 *
 * @throws {LoadError} `TOKENIZER_INVALID` saying what is wrong.
 * @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` for anything but byte-pair encoding, or for a decoder that can't be
 *   streamed.
 */
export function createTokenizer(tokenizerJson: unknown, tokenizerConfig: unknown): Tokenizer {
  try {
    return build(tokenizerJson, tokenizerConfig);
  } catch (cause) {
    if (cause instanceof LlavaSpError) throw cause;
    // The library throws plain errors of many kinds on damaged files.
    throw tokenizerError('tokenizer.json can not be read', cause);
  }
}

function build(tokenizerJson: unknown, tokenizerConfig: unknown): Tokenizer {
  const json = requireObject(tokenizerJson, 'tokenizer.json');
  const config = requireObject(tokenizerConfig, 'tokenizer_config.json');
  const added = parseAdded(json.added_tokens);
  checkModel(json.model);
  for (const key of ['normalizer', 'pre_tokenizer', 'decoder']) checkPatterns(json[key], key);

  const library = new HuggingFaceTokenizer(withMark(json, added), libraryConfig(config));
  const specials = new Set(added.filter(({ special }) => special).map(({ content }) => content));
  for (const token of additionalSpecials(config)) specials.add(token);
  const addedIds = new Set(added.map(({ id }) => id));
  const token = (id: number): string | undefined => library.id_to_token(id);
  const table: TokenTable = {
    token,
    isAdded: (id) => addedIds.has(id),
    isSpecial: (id) => specials.has(token(id) ?? ''),
  };
  const decoder = parseDecoder(json.decoder);
  const detokenizer = createDetokenizerFactory(decoder, table);
  const encode = (text: string): number[] =>
    checkIds(library.encode(text, { add_special_tokens: false }).ids);
  const named = {
    bos_token: tokenText(config.bos_token),
    eos_token: tokenText(config.eos_token),
    unk_token: tokenText(config.unk_token),
    pad_token: tokenText(config.pad_token),
  };
  return {
    encode,
    escape: createEscape(specials),
    unescape: (text) => text.replaceAll(mark, ''),
    decode(ids) {
      const stream = detokenizer();
      let text = '';
      for (const id of ids) text += stream.push(id);
      return text + stream.flush();
    },
    detokenizer,
    spelling: () => createSpelling(decoder, table),
    isSpecial: (id) => table.isSpecial(id),
    token,
    id: (content) => library.token_to_id(content),
    prefix: findPrefix(library, config, named.bos_token),
    named,
  };
}

/**
 * The tokenizer's JSON with one step more in front of its pre-tokenizer: the mark is taken out again. It has to be that
 * late, because the library looks for special tokens before and after the normaliser.
 */
function withMark(json: Json, added: readonly AddedToken[]): object {
  const removeMark = { type: 'Replace', pattern: { String: mark }, content: '' };
  const original = json.pre_tokenizer ?? null;
  return {
    normalizer: null,
    post_processor: null,
    decoder: null,
    ...json,
    // Special tokens are found in the text as it is; a normaliser must not turn other text into them.
    added_tokens: added.map((token) => (token.special ? { ...token, normalized: false } : token)),
    pre_tokenizer:
      original === null ? removeMark : { type: 'Sequence', pretokenizers: [removeMark, original] },
  };
}

/** Only what the library may use, and only of the right kind. */
function libraryConfig(config: Json): object {
  return {
    additional_special_tokens: additionalSpecials(config),
    remove_space: config.remove_space === true,
    do_lowercase_and_remove_accent: config.do_lowercase_and_remove_accent === true,
    // Decoding goes through the detokeniser; the clean-up of English punctuation would alter coordinates.
    clean_up_tokenization_spaces: false,
  };
}

function createEscape(specials: ReadonlySet<string>): (text: string) => string {
  const contents = [...specials].filter((content) => content !== '');
  return (text) => {
    let escaped = text;
    // A special token of one character can't be broken up: it is left out.
    for (const content of contents) if (content.length === 1) escaped = escaped.replaceAll(content, '');
    const cuts = new Set<number>();
    for (const content of contents) {
      if (content.length === 1) continue;
      for (let at = escaped.indexOf(content); at >= 0; at = escaped.indexOf(content, at + 1))
        cuts.add(at + 1);
    }
    if (cuts.size === 0) return escaped;
    let result = '';
    let from = 0;
    for (const cut of [...cuts].sort((a, b) => a - b)) {
      result += escaped.slice(from, cut) + mark;
      from = cut;
    }
    return result + escaped.slice(from);
  };
}

/** What the post-processor puts in front of a text; `add_bos_token` counts where there is none. */
function findPrefix(library: LibraryTokenizer, config: Json, bos: string | undefined): number[] {
  const plain = library.encode('a', { add_special_tokens: false }).ids;
  const whole = library.encode('a', { add_special_tokens: true }).ids;
  const at = whole.findIndex((_, i) => plain.every((id, j) => whole[i + j] === id));
  if (at > 0) return checkIds(whole.slice(0, at));
  const id = config.add_bos_token === true && bos !== undefined ? library.token_to_id(bos) : undefined;
  return id === undefined ? [] : [id];
}

function parseAdded(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > maxAddedTokens) {
    throw tokenizerError('"added_tokens" of tokenizer.json is not a list');
  }
  return value.map((item: unknown) => {
    const token = requireObject(item, 'an added token of tokenizer.json');
    const { id, content } = token;
    if (!isId(id) || typeof content !== 'string' || content === '') {
      throw tokenizerError('an added token of tokenizer.json has no id or no content');
    }
    return { ...token, id, content, special: token.special === true };
  });
}

function checkModel(value: unknown): void {
  const model = requireObject(value, '"model" of tokenizer.json');
  if (model.type !== 'BPE' && model.type !== undefined)
    throw unsupported(`a tokenizer of type ${show(model.type)}`);
  const suffix = model.end_of_word_suffix ?? '';
  if (suffix !== '') throw unsupported('a tokenizer with an end-of-word suffix');
  const vocab = requireObject(model.vocab, 'the vocabulary of tokenizer.json');
  if (!Object.values(vocab).every(isId))
    throw tokenizerError('the vocabulary of tokenizer.json holds an id that is no id');
  if (!Array.isArray(model.merges)) throw tokenizerError('"merges" of tokenizer.json is not a list');
}

/** The library skips a rule whose pattern it can't read, and the text would be cut in other places in silence. */
function checkPatterns(value: unknown, where: string): void {
  if (typeof value !== 'object' || value === null) return;
  const { type, pattern } = value as Json;
  if (type === 'Replace' || type === 'Split') {
    const { String: text, Regex: regex } = requireObject(
      pattern,
      `a pattern of "${where}" in tokenizer.json`,
    );
    if (typeof (regex ?? text) !== 'string')
      throw tokenizerError(`a pattern of "${where}" in tokenizer.json is no text`);
  }
  for (const item of Object.values(value)) checkPatterns(item, where);
}

function parseDecoder(value: unknown): DecoderConfig | null {
  if (value === undefined || value === null) return null;
  const { type, decoders, replacement, content, start, stop } = requireObject(
    value,
    'a decoder of tokenizer.json',
  );
  if (typeof type !== 'string') throw tokenizerError('a decoder of tokenizer.json has no type');
  if (type !== 'Sequence') {
    const texts = [replacement, content].every((text) => text === undefined || typeof text === 'string');
    const counts = [start, stop].every((count) => count === undefined || isId(count));
    if (!texts || !counts)
      throw tokenizerError(`the decoder "${type}" of tokenizer.json has a field of the wrong kind`);
    return value as DecoderConfig;
  }
  if (!Array.isArray(decoders)) throw tokenizerError('a decoder of tokenizer.json has no list of decoders');
  return { type, decoders: decoders.map(parseDecoder).filter((decoder) => decoder !== null) };
}

function additionalSpecials(config: Json): string[] {
  const { additional_special_tokens: list } = config;
  if (!Array.isArray(list)) return [];
  return list.map(tokenText).filter((text) => text !== undefined && text !== '') as string[];
}

/** A token in `tokenizer_config.json`: its text, or an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const content =
    typeof value === 'object' && value !== null && 'content' in value ? value.content : undefined;
  return typeof content === 'string' ? content : undefined;
}

/** A word that the vocabulary can't spell and that has no unknown token comes back as `undefined`. */
function checkIds(ids: readonly (number | undefined)[]): number[] {
  return ids.filter((id) => id !== undefined);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 24;
}

function requireObject(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw tokenizerError(`${what} is not an object`);
}

function unsupported(what: string): UnsupportedError {
  return new UnsupportedError({
    code: 'TOKENIZER_UNSUPPORTED',
    message: `The model has ${what}, which is not supported.`,
    fix: 'Use a model with a byte-pair tokenizer (LLaMA, Qwen2 and their kin).',
  });
}

/** The error for tokenizer files that can't be used. */
export function tokenizerError(what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'TOKENIZER_INVALID',
    message: `The model's tokenizer can't be used: ${what}.`,
    fix: 'Download or convert the model again.',
    cause,
  });
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 40);
}
