import type { Tokenizer } from '../tokenizer.ts';

/**
 * The tokens of a vocabulary as a trie over the bytes that they write, in the order in which a walk meets its nodes.
 */
export interface Vocabulary {
  /** Ids from 0; those from here on do not exist. */
  readonly size: number;
  /** By node: the byte that leads to it, how many bytes it takes from the root, and where its subtree ends. */
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly end: Uint32Array;
  /** By node: its first token, or -1; by token: the next one that is spelt alike, or -1. */
  readonly token: Int32Array;
  readonly alike: Int32Array;
  /** Bytes of the longest token. */
  readonly longest: number;
  /** The bytes that a token writes; `null` for one that writes nothing. */
  bytes(id: number): Uint8Array | null;
  /** Whether there is a token of this one byte. */
  readonly single: Uint8Array;
  /** What happens to a space at the beginning of a text. */
  readonly start: 'kept' | 'space_stripped' | 'space_removed';
}

/** No token is as long: deeper nodes would not fit their numbers. */
const MOST_BYTES = 4096;

/** Reads the first `size` tokens. @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED`. */
export function createVocabulary(tokenizer: Tokenizer, size: number): Vocabulary {
  const spelling = tokenizer.spelling();
  // One byte a character: text in that form sorts by its bytes, quickly.
  const words: string[] = [];
  const ids: number[] = [];
  const order: number[] = [];
  for (let id = 0; id < size; id++) {
    const bytes = spelling.bytes(id);
    if (!bytes || bytes.length === 0 || bytes.length > MOST_BYTES) continue;
    order.push(words.length);
    words.push(String.fromCharCode(...bytes));
    ids.push(id);
  }
  order.sort((a, b) => (words[a] < words[b] ? -1 : words[a] > words[b] ? 1 : ids[a] - ids[b]));

  const most = words.reduce((sum, word) => sum + word.length, 1);
  const byte = new Uint8Array(most);
  const depth = new Uint16Array(most);
  const end = new Uint32Array(most);
  const token = new Int32Array(most).fill(-1);
  const alike = new Int32Array(size).fill(-1);
  const single = new Uint8Array(256);
  const path: number[] = [];
  let nodes = 0;
  let longest = 0;
  let before = '';
  let last = -1;
  for (const at of order) {
    const word = words[at];
    if (word === before) {
      alike[last] = ids[at];
    } else {
      let common = 0;
      while (common < before.length && word[common] === before[common]) common++;
      while (path.length > common) end[path.pop() ?? 0] = nodes;
      for (let i = common; i < word.length; i++) {
        byte[nodes] = word.charCodeAt(i);
        depth[nodes] = i;
        path.push(nodes++);
      }
      token[nodes - 1] = ids[at];
      longest = Math.max(longest, word.length);
      if (word.length === 1) single[word.charCodeAt(0)] = 1;
      before = word;
    }
    last = ids[at];
  }
  for (const node of path) end[node] = nodes;
  return {
    size,
    byte: byte.slice(0, nodes),
    depth: depth.slice(0, nodes),
    end: end.slice(0, nodes),
    token: token.slice(0, nodes),
    alike,
    longest,
    bytes: (id) => spelling.bytes(id),
    single,
    start: spelling.start,
  };
}
