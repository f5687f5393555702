import { kinds, type SentencePieceModel } from './sentencepiece.ts';

/** SentencePiece's space. */
const space = '▁';

/** An entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

export function addedToken(id: number, content: string, special = true): AddedToken {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/**
 * `tokenizer.json` of a SentencePiece byte-pair model, as Hugging Face's converter of LLaMA's writes it: pieces become the
 * vocabulary, and the pairs that make each piece up, in the order of the pieces' scores, become the merges. The same ids
 * as SentencePiece, a space in front of every text included.
 */
export function llamaTokenizer(model: SentencePieceModel): Record<string, unknown> {
  const vocab = new Map(model.pieces.map(({ text }, id) => [text, id]));
  const added = model.pieces.flatMap(({ text, kind }, id) => {
    const special = kind === kinds.control || kind === kinds.unknown;
    return special || kind === kinds.userDefined ? [addedToken(id, text, special)] : [];
  });
  const bosId = model.bos === null ? undefined : vocab.get(model.bos);
  const prepend = model.dummyPrefix ? [{ type: 'Prepend', prepend: space }] : [];
  const strip = model.dummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: {
      type: 'Sequence',
      normalizers: [...prepend, { type: 'Replace', pattern: { String: ' ' }, content: space }],
    },
    pre_tokenizer: null,
    post_processor: bosId === undefined ? null : beginsWith(model.bos ?? '', bosId),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: space }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: model.unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: model.byteFallback,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: mergesOf(model, vocab),
    },
  };
}

/** Puts the beginning-of-sequence token in front. */
function beginsWith(token: string, id: number): object {
  const begin = { SpecialToken: { id: token, type_id: 0 } };
  const text = (name: 'A' | 'B') => ({ Sequence: { id: name, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [begin, text('A')],
    pair: [begin, text('A'), begin, text('B')],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

interface Merge {
  readonly left: string;
  readonly right: string;
  readonly score: number;
}

/** Every way to split a piece into two pieces; the piece of the higher score is made first. */
function mergesOf({ pieces }: SentencePieceModel, vocab: ReadonlyMap<string, number>): [string, string][] {
  const merges: Merge[] = [];
  for (const { text, score, kind } of pieces) {
    if (kind !== kinds.normal && kind !== kinds.userDefined) continue;
    const ways: Merge[] = [];
    for (let at = 1; at < text.length; at++) {
      // Not inside a character of two code units: such halves are no pieces.
      const [left, right] = [text.slice(0, at), text.slice(at)];
      if (vocab.has(left) && vocab.has(right)) ways.push({ left, right, score });
    }
    const id = (piece: string): number => vocab.get(piece) ?? 0;
    merges.push(...ways.sort((a, b) => id(a.left) - id(b.left) || id(a.right) - id(b.right)));
  }
  const length = (text: string): number => Array.from(text).length;
  merges.sort(
    (a, b) => b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right),
  );
  return merges.map(({ left, right }) => [left, right]);
}
