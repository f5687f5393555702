import { formatError, type Node } from './ast.ts';
import { DEAD, Dfa, UNKNOWN } from './dfa.ts';
import { Lanes, type Lane } from './lane.ts';
import { behindSpace, buildNfa, FIRST_TOKEN, isEmpty, withoutLeadingSpace, type Nfa } from './nfa.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Masks kept take at most so many bytes. */
const MASK_BYTES = 16 << 20;

/** The tokens that may come next: bit `id % 32` of word `id >> 5`. */
export type Mask = Uint32Array;

/** What an answer may say; made once, for any number of answers. */
export interface Constraint {
  /** Whether white space at the beginning belongs to the text: it is not to be cut off then. */
  readonly keepsSpace: boolean;
  /** For one answer. */
  walk(): Walk;
}

/** Where an answer is in what it may say. */
export interface Walk {
  /** The tokens that may come next, an end among them where the text may end here. Not to be changed. */
  allowed(): Mask;
  /** Takes the next token. */
  take(id: number): void;
  /** Whether nothing but the end may follow. */
  readonly ended: boolean;
}

interface State {
  readonly mask: Mask;
  /** Whether any token but an end may follow. */
  readonly goesOn: boolean;
}

/**
 * Makes a constraint: the text of the answer is what the node says, all of it, if it is not cut short. From what is allowed an
 * end can always be reached. White space before an answer is not shown, so of the texts those are taken that do not begin with it,
 * if there are any.
 *
 * @param eos tokens that end an answer: allowed where the text may end.
 * @throws {ArgumentError} `FORMAT_INVALID` for what is too large, and what the vocabulary can't spell.
 */
export function createConstraint(node: Node, vocabulary: Vocabulary, eos: readonly number[]): Constraint {
  const all = buildNfa(node);
  const bare = withoutLeadingSpace(all);
  const keepsSpace = isEmpty(bare);
  const nfa = keepsSpace ? all : bare;
  // Models begin their answers with a space, which is nobody's; some tokenizers take one away.
  const begun = {
    kept: () => (keepsSpace ? nfa : behindSpace(nfa, true)),
    space_stripped: () => behindSpace(nfa, !keepsSpace),
    space_removed: () => behindSpace(nfa, false),
  };
  return new Automaton(begun[vocabulary.start](), vocabulary, eos, keepsSpace);
}

class Automaton implements Constraint {
  readonly keepsSpace: boolean;
  readonly #nfa: Nfa;
  readonly #vocabulary: Vocabulary;
  readonly #eos: readonly number[];
  /** Whether every byte of the automaton is a token of its own: then no state is a dead end. */
  readonly #spellable: boolean;
  #dfa: Dfa;
  #states = new Map<number, State>();
  /** By state: 1 where an end can be reached by tokens, 2 where it can't. */
  #ends = new Map<number, 1 | 2>();
  /** Counts automata made anew: numbers of states of another one mean nothing. */
  #generation = 0;
  /** By node of the trie: the class of its byte. */
  readonly #kinds: Uint16Array;
  /** Of {@link Automaton.#successors}: the states on the way to a node, and what was found. */
  readonly #lanes: Lanes;
  readonly #path: Int32Array;
  readonly #tokens: Int32Array;
  readonly #nexts: Int32Array;

  constructor(nfa: Nfa, vocabulary: Vocabulary, eos: readonly number[], keepsSpace: boolean) {
    this.#nfa = nfa;
    this.#vocabulary = vocabulary;
    this.#eos = eos.filter((id) => id < vocabulary.size);
    this.keepsSpace = keepsSpace;
    this.#spellable = nfa.edges.every((list) => {
      for (let i = 0; i < list.length; i += 3) {
        for (let byte = list[i]; byte <= list[i + 1] && byte < FIRST_TOKEN; byte++)
          if (!vocabulary.single[byte]) return false;
      }
      return true;
    });
    this.#dfa = new Dfa(nfa);
    this.#lanes = new Lanes(vocabulary);
    this.#kinds = new Uint16Array(vocabulary.byte.length);
    for (let node = 0; node < this.#kinds.length; node++)
      this.#kinds[node] = this.#dfa.classes[vocabulary.byte[node]];
    this.#path = new Int32Array(vocabulary.longest + 1);
    const most = vocabulary.size + nfa.tokens.length + 1;
    this.#tokens = new Int32Array(most);
    this.#nexts = new Int32Array(most);
    if (!this.#reachesEnd(0)) {
      throw formatError("the model's vocabulary can't spell any text of it", 'Ask for something else.');
    }
    this.#stateOf(0);
  }

  walk(): Walk {
    let state = 0;
    let generation = this.#generation;
    let set = this.#dfa.set(0);
    const current = (): State => {
      this.#renew();
      if (generation !== this.#generation) {
        state = this.#dfa.intern(set);
        generation = this.#generation;
      }
      return this.#stateOf(state);
    };
    return {
      allowed: () => current().mask,
      take: (id) => {
        current();
        state = this.#behind(state, id);
        set = this.#dfa.set(state);
      },
      get ended() {
        return !current().goesOn;
      },
    };
  }

  /** The state behind a token that was allowed. */
  #behind(state: number, id: number): number {
    const own = this.#nfa.tokens.indexOf(id);
    const symbols = own < 0 ? this.#vocabulary.bytes(id) : [FIRST_TOKEN + own];
    let at = state;
    for (const symbol of symbols ?? []) {
      at = this.#dfa.step(at, symbol);
      if (at === DEAD) throw new Error(`token ${id} was not allowed`);
    }
    return at;
  }

  /** A new automaton, once the one in use is full of states that may never come again. */
  #renew(): void {
    if (!this.#dfa.crowded) return;
    this.#dfa = new Dfa(this.#nfa);
    this.#generation++;
    this.#states = new Map();
    this.#ends = new Map();
  }

  #stateOf(state: number): State {
    const known = this.#states.get(state);
    if (known) return known;
    const { size, alike } = this.#vocabulary;
    const mask = new Uint32Array(Math.ceil(size / 32));
    this.#dfa.begin();
    const lane = this.#spellable ? this.#lanes.from(this.#dfa, state) : null;
    if (lane) mask.set(lane.mask);
    let goesOn = mask.some((word) => word !== 0);
    const { count, ...found } = this.#successors(state, lane);
    // Whether an end is reached is found out by other searches, which fill the arrays anew.
    const [tokens, states] = this.#spellable
      ? [found.tokens, found.states]
      : [found.tokens.slice(0, count), found.states.slice(0, count)];
    for (let i = 0; i < count; i++) {
      if (!this.#reachesEnd(states[i])) continue;
      for (let id = tokens[i]; id >= 0; id = alike[id]) mask[id >> 5] |= 1 << (id & 31);
      goesOn = true;
    }
    if (this.#dfa.accepting(state)) for (const id of this.#eos) mask[id >> 5] |= 1 << (id & 31);
    const most = Math.max(16, Math.floor(MASK_BYTES / (mask.byteLength + 64)));
    for (const oldest of this.#states.keys()) {
      if (this.#states.size < most) break;
      this.#states.delete(oldest);
    }
    const made = { mask, goesOn };
    this.#states.set(state, made);
    return made;
  }

  /**
   * Every token that the automaton takes in a state, of those that are spelt alike the first, and the state behind it; those that
   * the lane covers are left out. The arrays are filled anew by the next call.
   */
  #successors(state: number, lane: Lane | null): { tokens: Int32Array; states: Int32Array; count: number } {
    const { depth, end, token, byte, size } = this.#vocabulary;
    const [path, kinds, tokens, states] = [this.#path, this.#kinds, this.#tokens, this.#nexts];
    const dfa = this.#dfa;
    const { width } = dfa;
    let { table } = dfa;
    const nodes = depth.length;
    let count = 0;
    path[0] = state;
    // A hundred thousand nodes and more: what is known is read from the table without a call.
    for (let node = 0; node < nodes;) {
      const at = depth[node];
      if (lane?.covered[node]) {
        node = end[node];
        continue;
      }
      let next = table[path[at] * width + kinds[node]];
      if (next === UNKNOWN) {
        next = dfa.step(path[at], byte[node]);
        table = dfa.table;
      }
      if (next === DEAD) {
        node = end[node];
        continue;
      }
      path[at + 1] = next;
      tokens[count] = token[node];
      states[count] = next;
      if (token[node] >= 0) count++;
      node++;
    }
    this.#nfa.tokens.forEach((id, i) => {
      const next = dfa.step(state, FIRST_TOKEN + i);
      if (next === DEAD || id >= size) return;
      tokens[count] = id;
      states[count++] = next;
    });
    return { tokens, states, count };
  }

  /** Whether tokens lead from a state to where a text may end. */
  #reachesEnd(from: number): boolean {
    if (this.#spellable) return true;
    const known = this.#ends.get(from);
    if (known) return known === 1;
    // Breadth first; whoever led to a state that reaches an end reaches it as well.
    const before = new Map<number, number>([[from, DEAD]]);
    for (const state of before.keys()) {
      if (this.#dfa.accepting(state) || this.#ends.get(state) === 1) {
        for (let at = state; at !== DEAD; at = before.get(at) ?? DEAD) this.#ends.set(at, 1);
        return true;
      }
      if (this.#ends.get(state) === 2) continue;
      const { states, count } = this.#successors(state, null);
      for (let i = 0; i < count; i++) if (!before.has(states[i])) before.set(states[i], state);
    }
    for (const state of before.keys()) this.#ends.set(state, 2);
    return false;
  }
}
