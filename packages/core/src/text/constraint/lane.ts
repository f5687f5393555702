import { DEAD, type Dfa } from './dfa.ts';
import { FIRST_TOKEN } from './nfa.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Bytes of a token that a lane is followed for. */
const LENGTH = 32;
/** A lane of fewer bytes saves nothing. */
const LEAST_BYTES = 24;
/** Groups of bytes whose tokens are kept, a byte for each node of the trie. */
const KEPT = 4;

/**
 * States one behind another that one group of bytes leads along, whichever of the bytes come: inside of words and strings, counted
 * ones too. All tokens of such bytes alone are allowed at its beginning; only the others have to be looked at.
 */
export interface Lane {
  /** The tokens of the group's bytes alone, as bits by id. */
  readonly mask: Uint32Array;
  /** By node of the trie: whether its tokens and all below are among these, and those above lead on to it. */
  readonly covered: Uint8Array;
}

/** Finds the lanes of one automaton over one vocabulary. */
export class Lanes {
  readonly #vocabulary: Vocabulary;
  readonly #groups = new Map<string, Lane>();

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** The lane that begins at a state, if there is one. From every state an end must be within reach. */
  from(dfa: Dfa, state: number): Lane | null {
    const bytes = new Map<number, number[]>();
    for (let byte = 0; byte < FIRST_TOKEN; byte++) {
      const next = dfa.step(state, byte);
      if (next === DEAD) continue;
      const list = bytes.get(next);
      if (list) list.push(byte);
      else bytes.set(next, [byte]);
    }
    const [next, group] = [...bytes].reduce<[number, number[]]>(
      (best, entry) => (entry[1].length > best[1].length ? entry : best),
      [DEAD, []],
    );
    if (group.length < LEAST_BYTES) return null;
    let at = next;
    // Bytes of a class lead to the same states: one of each stands for all.
    const kinds = [...new Map(group.map((byte) => [dfa.classes[byte], byte])).values()];
    for (let i = 1; i < LENGTH; i++) {
      const behind = dfa.step(at, kinds[0]);
      if (behind === DEAD || kinds.some((byte) => dfa.step(at, byte) !== behind)) return null;
      at = behind;
    }
    return this.#groupOf(group);
  }

  #groupOf(bytes: readonly number[]): Lane {
    const key = bytes.join(' ');
    const group = this.#groups.get(key) ?? this.#make(bytes);
    this.#groups.delete(key);
    this.#groups.set(key, group);
    for (const oldest of this.#groups.keys()) {
      if (this.#groups.size <= KEPT) break;
      this.#groups.delete(oldest);
    }
    return group;
  }

  #make(bytes: readonly number[]): Lane {
    const { byte, depth, end, token, alike, longest, size } = this.#vocabulary;
    const inside = new Uint8Array(256);
    for (const each of bytes) inside[each] = 1;
    const whole = new Uint8Array(byte.length);
    // From the last node on, so that children come before their parent: it is covered if none of them is not.
    const open = new Uint8Array(longest + 2);
    for (let node = byte.length - 1; node >= 0; node--) {
      const at = depth[node];
      const all = inside[byte[node]] === 1 && at < LENGTH && open[at + 1] === 0;
      open[at + 1] = 0;
      if (all) whole[node] = 1;
      else open[at] = 1;
    }
    const covered = new Uint8Array(byte.length);
    const mask = new Uint32Array(Math.ceil(size / 32));
    for (let node = 0; node < byte.length;) {
      if (!whole[node]) {
        // Below a node of another byte nothing is on a way of these bytes alone.
        node = inside[byte[node]] ? node + 1 : end[node];
        continue;
      }
      covered[node] = 1;
      for (const last = end[node]; node < last; node++) {
        for (let id = token[node]; id >= 0; id = alike[id]) mask[id >> 5] |= 1 << (id & 31);
      }
    }
    return { mask, covered };
  }
}
