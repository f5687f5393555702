import { formatError, type Node } from './ast.ts';
import { utf8, type Ranges } from './ranges.ts';

/** From here on, symbols are tokens that write nothing; below, bytes. */
export const FIRST_TOKEN = 256;
/** Most states; they are numbered in 16 bits. A hostile format is refused here, before it costs much. */
const MOST_STATES = 0xfff0;
/** Most edges: a class of many characters has more of them than states. */
const MOST_EDGES = 400_000;
/** A format of more parts inside one another is not read. */
const MOST_DEPTH = 1000;

/** A nondeterministic automaton over the bytes of a text. */
export interface Nfa {
  readonly start: number;
  /** By state: `low, high, target` of every edge. Only those from which the end can be reached. */
  readonly edges: readonly (readonly number[])[];
  /** By state: where it may go without a byte. */
  readonly jumps: readonly (readonly number[])[];
  readonly accept: number;
  /** By symbol - {@link FIRST_TOKEN}: the tokens that are symbols of their own. */
  readonly tokens: readonly number[];
}

/**
 * Thompson's construction, over bytes.
 *
 * @throws {ArgumentError} `FORMAT_INVALID` when there are too many states, or no text at all fits.
 */
export function buildNfa(root: Node): Nfa {
  const edges: number[][] = [];
  const jumps: number[][] = [];
  const tokens: number[] = [];
  const encodings = new Map<Ranges, number[][]>();
  let edgesLeft = MOST_EDGES;

  const state = (): number => addState(edges, jumps);
  const symbolOf = (id: number): number => {
    const known = tokens.indexOf(id);
    return FIRST_TOKEN + (known >= 0 ? known : tokens.push(id) - 1);
  };
  const characters = (ranges: Ranges, from: number, to: number): void => {
    let sequences = encodings.get(ranges);
    if (!sequences) encodings.set(ranges, (sequences = utf8(ranges)));
    edgesLeft -= sequences.length;
    if (edgesLeft < 0) throw tooLarge();
    // The ends of encodings that are alike are shared.
    const shared = new Map<string, number>();
    for (const bytes of sequences) {
      let target = to;
      for (let i = bytes.length - 2; i > 0; i -= 2) {
        const key = `${bytes[i]} ${bytes[i + 1]} ${target}`;
        let before = shared.get(key);
        if (before === undefined) {
          before = state();
          edges[before].push(bytes[i], bytes[i + 1], target);
          shared.set(key, before);
        }
        target = before;
      }
      edges[from].push(bytes[0], bytes[1], target);
    }
  };

  /** Adds the part between two states; nothing else leads into or out of what is added between them. */
  const add = (node: Node, from: number, to: number, depth: number): void => {
    if (depth > MOST_DEPTH) throw formatError('it has too many parts inside one another');
    switch (node.type) {
      case 'class':
        characters(node.ranges, from, to);
        return;
      case 'token':
        edges[from].push(symbolOf(node.id), symbolOf(node.id), to);
        return;
      case 'choice':
        for (const option of node.options) {
          const begin = state();
          jumps[from].push(begin);
          add(option, begin, to, depth + 1);
        }
        return;
      case 'sequence': {
        let at = from;
        for (const part of node.parts) {
          const next = state();
          add(part, at, next, depth + 1);
          at = next;
        }
        jumps[at].push(to);
        return;
      }
      case 'repeat': {
        let at = from;
        const times = Number.isFinite(node.max) ? node.max : node.min;
        for (let i = 0; i < times; i++) {
          if (i >= node.min) jumps[at].push(to);
          const next = state();
          add(node.node, at, next, depth + 1);
          at = next;
        }
        if (!Number.isFinite(node.max)) {
          // A state of its own: what is repeated may loop into where it began.
          const loop = state();
          const back = state();
          jumps[at].push(loop);
          add(node.node, loop, back, depth + 1);
          jumps[back].push(loop);
          at = loop;
        }
        jumps[at].push(to);
        return;
      }
      case 'members': {
        // Two rows of states: nothing written yet, and something before which the separator goes.
        let [first, later] = [from, state()];
        for (const { node: item, optional } of node.items) {
          const [nextFirst, nextLater, separated] = [state(), state(), state()];
          add(item, first, nextLater, depth + 1);
          add(node.separator, later, separated, depth + 1);
          add(item, separated, nextLater, depth + 1);
          if (optional) {
            jumps[first].push(nextFirst);
            jumps[later].push(nextLater);
          }
          [first, later] = [nextFirst, nextLater];
        }
        jumps[first].push(to);
        jumps[later].push(to);
        return;
      }
    }
  };

  const start = state();
  const accept = state();
  add(root, start, accept, 0);
  prune(edges, jumps, accept);
  const nfa = { start, edges, jumps, accept, tokens };
  if (isEmpty(nfa)) throw formatError('no text at all fits it');
  return nfa;
}

/** Whether no text fits. */
export function isEmpty({ start, edges, jumps, accept }: Nfa): boolean {
  return start !== accept && jumps[start].length === 0 && edges[start].length === 0;
}

/** The same texts behind a space, or with and without one. */
export function behindSpace(nfa: Nfa, optional: boolean): Nfa {
  const start = nfa.edges.length;
  const edges = [...nfa.edges, [0x20, 0x20, nfa.start]];
  return { ...nfa, start, edges, jumps: [...nfa.jumps, optional ? [nfa.start] : []] };
}

/** Those of the texts that do not begin with white space; possibly none. */
export function withoutLeadingSpace(nfa: Nfa): Nfa {
  const edges: number[][] = [];
  const jumps: number[][] = [];
  const numbers = new Map<string, number>();
  const free = new Int32Array(nfa.edges.length).fill(-1);
  const pending: [at: number, state: number, prefix: string | null][] = [];
  /** `prefix`: the bytes so far, while white space may come of them; `null` once it can't. */
  const pair = (state: number, prefix: string | null): number => {
    const key = prefix === null ? null : `${state} ${prefix}`;
    const known = key === null ? free[state] : (numbers.get(key) ?? -1);
    if (known >= 0) return known;
    const at = addState(edges, jumps);
    if (key === null) free[state] = at;
    else numbers.set(key, at);
    pending.push([at, state, prefix]);
    return at;
  };
  const start = pair(nfa.start, '');
  // An end behind part of a character can't be: ends are at its start, or free.
  const accept = addState(edges, jumps);
  for (const [at, state, prefix] of pending) {
    if (state === nfa.accept) jumps[at].push(accept);
    for (const to of nfa.jumps[state]) jumps[at].push(pair(to, prefix));
    const list = nfa.edges[state];
    for (let i = 0; i < list.length; i += 3) {
      const [low, high, to] = list.slice(i, i + 3);
      if (prefix === null || low >= FIRST_TOKEN) {
        edges[at].push(low, high, pair(to, prefix));
        continue;
      }
      let from = low;
      for (let byte = low; byte <= high; byte++) {
        const bytes = prefix + String.fromCharCode(byte);
        if (!beginnings.has(bytes)) continue;
        if (byte > from) edges[at].push(from, byte - 1, pair(to, null));
        from = byte + 1;
        if (!spaces.includes(bytes)) edges[at].push(byte, byte, pair(to, bytes));
      }
      if (from <= high) edges[at].push(from, high, pair(to, null));
    }
  }
  prune(edges, jumps, accept);
  return { ...nfa, start, edges, jumps, accept };
}

/** White space, one byte a character: what `trimStart` takes off. */
const spaces = Array.from(
  '\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff',
  (char) => String.fromCharCode(...new TextEncoder().encode(char)),
);
const beginnings = new Set(spaces.flatMap((space) => Array.from(space, (_, i) => space.slice(0, i + 1))));

function addState(edges: number[][], jumps: number[][]): number {
  if (edges.length >= MOST_STATES) throw tooLarge();
  jumps.push([]);
  return edges.push([]) - 1;
}

function tooLarge(): Error {
  return formatError(
    'it is too large',
    'Make bounds as of {m,n}, maxLength or maxItems smaller, or leave them open.',
  );
}

/** Takes away what leads to states from which the end can't be reached. */
function prune(edges: number[][], jumps: number[][], accept: number): void {
  const before: number[][] = edges.map(() => []);
  edges.forEach((list, from) => {
    for (let i = 2; i < list.length; i += 3) before[list[i]].push(from);
    for (const to of jumps[from]) before[to].push(from);
  });
  const live = new Uint8Array(edges.length);
  const stack = [accept];
  live[accept] = 1;
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    for (const from of before[at]) {
      if (live[from]) continue;
      live[from] = 1;
      stack.push(from);
    }
  }
  edges.forEach((list, from) => {
    jumps[from] = jumps[from].filter((to) => live[to]);
    edges[from] = list.filter((_, i) => live[list[i - (i % 3) + 2]]);
  });
}
