/**
 * The parts of `@huggingface/tokenizers` in use, with their types: the package's own declarations import one another
 * without file extensions, which Node's module resolution does not follow.
 */
import * as tokenizers from '@huggingface/tokenizers';

export interface LibraryTokenizer {
  /** An id is `undefined` where the vocabulary can't spell the text and has no unknown token. */
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  id_to_token(id: number): string | undefined;
  token_to_id(token: string): number | undefined;
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
}

export interface LibraryDecoder {
  decode_chain(tokens: string[]): string[];
}

interface Library {
  Tokenizer: new (tokenizerJson: object, tokenizerConfig: object) => LibraryTokenizer;
  ReplaceDecoder: new (config: object) => LibraryDecoder;
  StripDecoder: new (config: object) => LibraryDecoder;
}

const typed = tokenizers as unknown as Library;

// Named one by one, so that bundlers drop what is not used.
export const Tokenizer = typed.Tokenizer;
export const ReplaceDecoder = typed.ReplaceDecoder;
export const StripDecoder = typed.StripDecoder;
