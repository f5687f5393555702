import { formatError } from './ast.ts';
import { FIRST_TOKEN, type Nfa } from './nfa.ts';

export const DEAD = -1;
/** Not made yet. */
export const UNKNOWN = -2;
/** Most states kept at a time; see {@link Dfa.crowded}. */
const MOST_STATES = 16_384;
/** Past these the format is given up: sets of states, and states visited while they are made for one token. */
const LIMIT_STATES = 65_536;
const LIMIT_WORK = 4_000_000;

/**
 * The deterministic automaton of an {@link Nfa}, made as far as it is visited. States are numbers; 0 is where it begins. From every
 * state the end can be reached.
 */
export class Dfa {
  readonly #nfa: Nfa;
  /** Of a symbol: symbols that no edge tells apart are one class. */
  readonly classes: Uint16Array;
  readonly #symbols: number[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #sets: Uint16Array[] = [];
  readonly #accepting: boolean[] = [];
  /** By state and class: the state behind, {@link DEAD} or {@link UNKNOWN}. Another array once it has grown. */
  table = new Int32Array(0);
  readonly width: number;
  /** When a state of the other automaton was last taken into a set. */
  readonly #marks: Uint32Array;
  #mark = 0;
  #work = 0;

  constructor(nfa: Nfa) {
    this.#nfa = nfa;
    this.#marks = new Uint32Array(nfa.edges.length);
    const size = FIRST_TOKEN + nfa.tokens.length;
    const borders = new Uint8Array(size + 1);
    for (const list of nfa.edges) {
      for (let i = 0; i < list.length; i += 3) borders[list[i]] = borders[list[i + 1] + 1] = 1;
    }
    this.classes = new Uint16Array(size);
    for (let symbol = 0; symbol < size; symbol++) {
      if (symbol === 0 || borders[symbol]) this.#symbols.push(symbol);
      this.classes[symbol] = this.#symbols.length - 1;
    }
    this.width = this.#symbols.length;
    this.intern(this.#closure([nfa.start]));
  }

  /** Whether a text may end here. */
  accepting(state: number): boolean {
    return this.#accepting[state];
  }

  /** The state behind a symbol, or {@link DEAD}. @throws {ArgumentError} `FORMAT_INVALID` past the limits. */
  step(state: number, symbol: number): number {
    const kind = this.classes[symbol];
    const at = state * this.width + kind;
    const known = this.table[at];
    if (known !== UNKNOWN) return known;
    const next = this.#make(state, this.#symbols[kind]);
    this.table[at] = next;
    return next;
  }

  /** Symbols, one of each class, that lead on from a state. */
  symbols(state: number): number[] {
    return this.#symbols.filter((symbol) => this.step(state, symbol) !== DEAD);
  }

  /** States visited since {@link begin}, or ever. */
  get work(): number {
    return this.#work;
  }

  /** Work is counted from here. */
  begin(): void {
    this.#work = 0;
  }

  /** So many states that the memory is better used anew: make another one, and {@link intern} the states in use there. */
  get crowded(): boolean {
    return this.#sets.length > MOST_STATES;
  }

  /** What a state stands for, to be known again by another automaton of the same. */
  set(state: number): Uint16Array {
    return this.#sets[state];
  }

  intern(set: Uint16Array): number {
    const key = keyOf(set);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const state = this.#sets.push(set) - 1;
    if (state >= LIMIT_STATES) throw tooAmbiguous();
    this.#numbers.set(key, state);
    this.#accepting.push(set.includes(this.#nfa.accept));
    if ((state + 1) * this.width > this.table.length) {
      const grown = new Int32Array(Math.max(64, 2 * (state + 1)) * this.width).fill(UNKNOWN);
      grown.set(this.table);
      this.table = grown;
    }
    return state;
  }

  #make(state: number, symbol: number): number {
    const { edges } = this.#nfa;
    const targets: number[] = [];
    for (const from of this.#sets[state]) {
      const list = edges[from];
      for (let i = 0; i < list.length; i += 3)
        if (list[i] <= symbol && symbol <= list[i + 1]) targets.push(list[i + 2]);
    }
    this.#work += this.#sets[state].length;
    return targets.length === 0 ? DEAD : this.intern(this.#closure(targets));
  }

  /** The states reached without a byte; those that only lead on to others are left out. */
  #closure(from: readonly number[]): Uint16Array {
    const { edges, jumps, accept } = this.#nfa;
    const mark = ++this.#mark;
    const stack = [...from];
    const found: number[] = [];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.#marks[at] === mark) continue;
      this.#marks[at] = mark;
      if (edges[at].length > 0 || at === accept) found.push(at);
      this.#work++;
      for (const to of jumps[at]) stack.push(to);
    }
    if (this.#work > LIMIT_WORK) throw tooAmbiguous();
    return Uint16Array.from(found).sort();
  }
}

function keyOf(set: Uint16Array): string {
  let key = '';
  // In parts: so many arguments at once are refused.
  for (let i = 0; i < set.length; i += 8192) key += String.fromCharCode(...set.subarray(i, i + 8192));
  return key;
}

function tooAmbiguous(): Error {
  return formatError(
    'it can be read in too many ways at once',
    'Write repetitions so that one character tells what comes next.',
  );
}
