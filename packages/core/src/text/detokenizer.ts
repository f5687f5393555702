import { UnsupportedError } from '../errors/index.ts';
import { ReplaceDecoder, StripDecoder } from './library.ts';
import type { LibraryDecoder } from './library.ts';

/**
 * Turns the tokens of one answer into text as they come. The concatenation of everything returned, `flush` included,
 * is the decoding of all ids at once; a character whose bytes are spread over several tokens comes out whole.
 * The cost of a token does not depend on how many came before.
 */
export interface Detokenizer {
  /** The text that became certain with this token; often empty. */
  push(id: number): string;
  /** What is left at the end: bytes of an unfinished character become U+FFFD. */
  flush(): string;
}

/** What a detokeniser needs to know of the vocabulary. */
export interface TokenTable {
  /** `undefined` for an id outside the vocabulary: nothing is written for it. */
  token(id: number): string | undefined;
  /** Whether the token stands outside the model's own vocabulary: its content is text as it is. */
  isAdded(id: number): boolean;
  /** Special tokens are not part of the text. */
  isSpecial(id: number): boolean;
}

/** One step of `decoder` in `tokenizer.json`, as the JSON has it. */
export interface DecoderConfig {
  readonly type: string;
  readonly decoders?: readonly DecoderConfig[];
  readonly replacement?: string;
  readonly content?: string;
  readonly start?: number;
  readonly stop?: number;
}

/** One step at work: takes pieces of text, hands on pieces of text. `literal` pieces are no bytes in disguise. */
interface Step {
  push(piece: string, literal: boolean): void;
  end(): void;
}

/** Bytes that may stop in the middle of a character, on their way to text. */
interface ByteStream {
  write(bytes: Uint8Array): void;
  close(): void;
}

/** Makes a step that writes to the next one; `stream` says what becomes of bytes. */
type StepMaker = (next: Step, stream: (next: Step) => ByteStream) => Step;

/**
 * Prepares the steps once per tokenizer; the result makes one detokeniser per answer.
 *
 * @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` for a decoder that can't work on a stream.
 */
export function createDetokenizerFactory(config: DecoderConfig | null, table: TokenTable): () => Detokenizer {
  const makers = plan(config);
  return () => {
    let text = '';
    const take = (): string => {
      const taken = text;
      text = '';
      return taken;
    };
    const sink: Step = { push: (piece) => void (text += piece), end: () => undefined };
    const first = makers.reduceRight<Step>((next, make) => make(next, utf8), sink);
    return {
      push(id) {
        const token = table.isSpecial(id) ? undefined : table.token(id);
        if (token !== undefined) first.push(token, table.isAdded(id));
        return take();
      },
      flush() {
        first.end();
        return take();
      },
    };
  };
}

/** How tokens are spelt in an answer, byte by byte. */
export interface Spelling {
  /** What the token adds to the text, behind other tokens; `null` for one that writes nothing whatever the text is. */
  bytes(id: number): Uint8Array | null;
  /** What becomes of the first of these bytes at the beginning of a text: a space is taken off, if there is one, or always. */
  readonly start: 'kept' | 'space_stripped' | 'space_removed';
}

/**
 * How the tokens of {@link createDetokenizerFactory} are spelt.
 *
 * @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED` where what comes out depends on more than one token.
 */
export function createSpelling(config: DecoderConfig | null, table: TokenTable): Spelling {
  let text = '';
  const sink: Step = { push: (piece) => void (text += piece), end: () => undefined };
  const first = plan(config).reduceRight<Step>((next, make) => make(next, disguised), sink);
  // Behind any other token, nothing is the text's beginning.
  first.push('x', true);
  return {
    start: config === null ? 'space_removed' : startOf(flatten(config)),
    bytes(id) {
      const token = table.isSpecial(id) ? undefined : table.token(id);
      if (token === undefined) return null;
      text = '';
      first.push(token, table.isAdded(id));
      return undisguised(text);
    },
  };
}

function startOf(steps: readonly DecoderConfig[]): Spelling['start'] {
  const whole = steps.findIndex(({ type }) => type === 'Fuse');
  const cuts = steps.slice(whole + 1).filter(({ type }) => whole >= 0 && type === 'Strip');
  if (cuts.length === 0) return steps.some(({ type }) => type === 'Metaspace') ? 'space_stripped' : 'kept';
  const [{ content, start = 0, stop = 0 }] = cuts;
  if (cuts.length === 1 && content === ' ' && start <= 1 && stop === 0)
    return start === 1 ? 'space_stripped' : 'kept';
  throw new UnsupportedError({
    code: 'TOKENIZER_UNSUPPORTED',
    message:
      "The model's tokenizer strips more than one leading space from answers: they can't be constrained.",
    fix: 'Ask without a format, or use a tokenizer of the LLaMA (byte fallback) or GPT-2/Qwen2 (byte level) kind.',
  });
}

/** Bytes pass the steps as characters that no text has: ASCII as it is, the others as lone surrogates from U+DC80 on. */
function disguised(next: Step): ByteStream {
  return {
    write: (bytes) =>
      next.push(
        String.fromCharCode(...Array.from(bytes, (byte) => (byte < 0x80 ? byte : 0xdc00 + byte))),
        true,
      ),
    close: () => undefined,
  };
}

function undisguised(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x80) bytes.push(code);
    else if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...new TextEncoder().encode(char));
  }
  return Uint8Array.from(bytes);
}

/**
 * A piece is a whole token until a step joins tokens; from there on it is a fragment of unknown extent, and only
 * steps that work on a stream may follow.
 */
function plan(config: DecoderConfig | null): StepMaker[] {
  if (config === null) return [joinBySpaces];
  let extent: 'token' | 'fragment' | 'whole' = 'token';
  return flatten(config).map((step) => {
    if (extent === 'token') {
      switch (step.type) {
        case 'ByteLevel':
          extent = 'fragment';
          return byteLevel;
        case 'ByteFallback':
          extent = 'fragment';
          return byteFallback;
        case 'Metaspace':
          return metaspace(step.replacement ?? '▁');
        case 'Replace':
          return perToken(new ReplaceDecoder(step));
        case 'Strip':
          return perToken(new StripDecoder(step));
      }
    }
    if (step.type === 'Fuse') {
      extent = 'whole';
      return passOn;
    }
    if (step.type === 'Strip' && extent === 'whole') return stripEnds(step);
    throw new UnsupportedError({
      code: 'TOKENIZER_UNSUPPORTED',
      message: `tokenizer.json asks for the decoder "${step.type}" at a place where it can't be streamed.`,
      fix: 'Use a tokenizer of the LLaMA (byte fallback) or GPT-2/Qwen2 (byte level) kind.',
    });
  });
}

function flatten(config: DecoderConfig): DecoderConfig[] {
  return config.type === 'Sequence' ? (config.decoders ?? []).flatMap(flatten) : [config];
}

const passOn: StepMaker = (next) => next;

const joinBySpaces: StepMaker = (next) => {
  let first = true;
  return {
    push(piece, literal) {
      next.push(first ? piece : ` ${piece}`, literal);
      first = false;
    },
    end: () => next.end(),
  };
};

function metaspace(replacement: string): StepMaker {
  return (next) => {
    let first = true;
    return {
      push(piece, literal) {
        const text = piece.replaceAll(replacement, ' ');
        // The space that the tokenizer put in front of the text is not the text's.
        next.push(first && text.startsWith(' ') ? text.slice(1) : text, literal);
        first = false;
      },
      end: () => next.end(),
    };
  };
}

function perToken(decoder: LibraryDecoder): StepMaker {
  return (next) => ({
    push(piece, literal) {
      for (const text of decoder.decode_chain([piece])) next.push(text, literal);
    },
    end: () => next.end(),
  });
}

function utf8(next: Step): ByteStream {
  // A mark U+FEFF inside an answer is text, not the start of a file.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const hand = (text: string): void => {
    if (text !== '') next.push(text, true);
  };
  return {
    write: (bytes) => hand(decoder.decode(bytes, { stream: true })),
    close: () => hand(decoder.decode()),
  };
}

/** GPT-2's disguise of bytes as printable characters. */
const byteLevel: StepMaker = (next, bytesTo) => {
  const stream = bytesTo(next);
  return {
    push(piece, literal) {
      if (literal) {
        stream.close();
        next.push(piece, true);
        return;
      }
      const bytes = Uint8Array.from(piece, (char) => byteOfChar.get(char) ?? -1);
      const disguised = [...piece].every((char) => byteOfChar.has(char));
      stream.write(disguised ? bytes : new TextEncoder().encode(piece));
    },
    end() {
      stream.close();
      next.end();
    },
  };
};

/** SentencePiece's `<0xE2>`: a run of them is bytes, anything else ends the run. */
const byteFallback: StepMaker = (next, bytesTo) => {
  const stream = bytesTo(next);
  return {
    push(piece, literal) {
      const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
      if (match) {
        stream.write(Uint8Array.of(parseInt(match[1], 16)));
        return;
      }
      stream.close();
      next.push(piece, literal);
    },
    end() {
      stream.close();
      next.end();
    },
  };
};

/** Up to `start` characters off the front of the whole text and up to `stop` off its end. */
function stripEnds({ content = '', start = 0, stop = 0 }: DecoderConfig): StepMaker {
  return (next) => {
    let left = start;
    let held = '';
    return {
      push(piece, literal) {
        let text = piece;
        while (left > 0 && text !== '') {
          if (!text.startsWith(content)) left = 0;
          else {
            text = text.slice(1);
            left--;
          }
        }
        const all = held + text;
        // Only content characters at the very end can still be cut off: no more than those need to wait.
        let certain = all.length;
        while (certain > 0 && all.length - certain < stop && all[certain - 1] === content) certain--;
        held = all.slice(certain);
        if (certain > 0) next.push(all.slice(0, certain), literal);
      },
      // What is still held is exactly what is to be cut off.
      end: () => next.end(),
    };
  };
}

const byteOfChar = buildByteOfChar();

/** Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and up, in order. */
function buildByteOfChar(): ReadonlyMap<string, number> {
  const map = new Map<string, number>();
  let shifted = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    map.set(String.fromCharCode(printable ? byte : 0x100 + shifted++), byte);
  }
  return map;
}
