import { PbfReader } from 'pbf';
import { LoadError, UnsupportedError } from '@llava-sp/core';

/** What kind of piece it is, as sentencepiece_model.proto numbers them. */
export const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: number;
}

/** What a `tokenizer.model` holds, as far as tokenisation by byte-pair encoding depends on it. */
export interface SentencePieceModel {
  /** By id. */
  readonly pieces: readonly Piece[];
  readonly byteFallback: boolean;
  /** Whether a text begins with a space of its own. */
  readonly dummyPrefix: boolean;
  readonly unknown: string;
  readonly bos: string | null;
  readonly eos: string | null;
}

/** Far above the largest vocabulary, 256,000 pieces, far below what would fill the memory. */
const maxPieces = 1_000_000;
const maxBytes = 64e6;
const bpe = 2;

interface Trainer {
  type: number;
  byteFallback: boolean;
  unknown: number;
  bos: number;
  eos: number;
}

interface Normalizer {
  dummyPrefix: boolean;
  removeExtraSpaces: boolean;
  charsMap: number;
}

/**
 * Reads a SentencePiece model file (a protocol buffer).
 *
 * @throws {LoadError} `TOKENIZER_INVALID` when it is no such file.
 * @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` for a unigram model, or one that rewrites characters.
 */
export function parseSentencePiece(bytes: Uint8Array): SentencePieceModel {
  if (bytes.length > maxBytes) throw invalid(`it has ${bytes.length} bytes, the limit is ${maxBytes}`);
  const pieces: Piece[] = [];
  // The defaults of the format.
  const trainer: Trainer = { type: 1, byteFallback: false, unknown: 0, bos: 1, eos: 2 };
  const normalizer: Normalizer = { dummyPrefix: true, removeExtraSpaces: true, charsMap: 0 };
  try {
    new PbfReader(bytes).readFields((tag, _, pbf) => {
      if (tag === 1) pieces.push(pbf.readMessage(readPiece, { text: '', score: 0, kind: kinds.normal }));
      else if (tag === 2) pbf.readMessage(readTrainer, trainer);
      else if (tag === 3) pbf.readMessage(readNormalizer, normalizer);
      if (pieces.length > maxPieces) throw invalid(`it has more than ${maxPieces} pieces`);
    }, null);
  } catch (cause) {
    if (cause instanceof LoadError) throw cause;
    throw invalid('it is not a SentencePiece model', cause);
  }
  check(pieces, trainer, normalizer);
  const textOf = (id: number): string | null => pieces[id]?.text ?? null;
  return {
    pieces,
    byteFallback: trainer.byteFallback,
    dummyPrefix: normalizer.dummyPrefix,
    unknown: pieces[trainer.unknown].text,
    bos: textOf(trainer.bos),
    eos: textOf(trainer.eos),
  };
}

function readPiece(tag: number, piece: { text: string; score: number; kind: number }, pbf: PbfReader): void {
  if (tag === 1) piece.text = pbf.readString();
  else if (tag === 2) piece.score = pbf.readFloat();
  else if (tag === 3) piece.kind = pbf.readVarint();
}

function readTrainer(tag: number, trainer: Trainer, pbf: PbfReader): void {
  if (tag === 3) trainer.type = pbf.readVarint();
  else if (tag === 35) trainer.byteFallback = pbf.readBoolean();
  else if (tag === 40) trainer.unknown = pbf.readVarint(true);
  else if (tag === 41) trainer.bos = pbf.readVarint(true);
  else if (tag === 42) trainer.eos = pbf.readVarint(true);
}

function readNormalizer(tag: number, normalizer: Normalizer, pbf: PbfReader): void {
  if (tag === 2) normalizer.charsMap = pbf.readBytes().length;
  else if (tag === 3) normalizer.dummyPrefix = pbf.readBoolean();
  else if (tag === 4) normalizer.removeExtraSpaces = pbf.readBoolean();
}

function check(pieces: readonly Piece[], trainer: Trainer, normalizer: Normalizer): void {
  if (pieces.length === 0) throw invalid('it has no pieces');
  if (trainer.type !== bpe) throw unsupported('is not a byte-pair model (unigram, word or char)');
  // LLaMA's models normalise nothing: what they were trained on is what they get.
  if (normalizer.charsMap > 0) throw unsupported('rewrites characters by a table');
  if (normalizer.removeExtraSpaces) throw unsupported('joins repeated spaces');
  if (!pieces[trainer.unknown]) throw invalid(`its unknown piece ${trainer.unknown} is not among its pieces`);
  if (pieces.some(({ text, score }) => text === '' || !Number.isFinite(score))) {
    throw invalid('one of its pieces has no text or no score');
  }
  const texts = new Set(pieces.map(({ text }) => text));
  if (texts.size < pieces.length) throw invalid('two of its pieces have the same text');
}

function invalid(what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'TOKENIZER_INVALID',
    message: `tokenizer.model can't be used: ${what}.`,
    fix: 'Download the file again; it is damaged or of another kind.',
    cause,
  });
}

function unsupported(what: string): UnsupportedError {
  return new UnsupportedError({
    code: 'TOKENIZER_UNSUPPORTED',
    message: `The tokenizer.model ${what}, which is not supported.`,
    fix: 'Put a tokenizer.json beside it, as `transformers` writes it: it is taken first.',
  });
}
