/** Sets of code points: `[first, last, first, last, ...]`, ascending, apart by at least one. */
export type Ranges = readonly number[];

export const LAST = 0x10ffff;

/** Sorted and joined where they touch. */
export function union(...sets: readonly Ranges[]): Ranges {
  const pairs: [number, number][] = [];
  for (const set of sets) for (let i = 0; i < set.length; i += 2) pairs.push([set[i], set[i + 1]]);
  pairs.sort((a, b) => a[0] - b[0]);
  const joined: number[] = [];
  for (const [first, last] of pairs) {
    const end = joined.length - 1;
    if (end > 0 && first <= joined[end] + 1) joined[end] = Math.max(joined[end], last);
    else joined.push(first, last);
  }
  return joined;
}

/** Everything else. */
export function negate(set: Ranges): Ranges {
  const rest: number[] = [];
  let next = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (set[i] > next) rest.push(next, set[i] - 1);
    next = set[i + 1] + 1;
  }
  if (next <= LAST) rest.push(next, LAST);
  return rest;
}

export function intersect(a: Ranges, b: Ranges): Ranges {
  return negate(union(negate(a), negate(b)));
}

/** Classes kept. */
const KEPT = 64;
const known = new Map<string, Ranges>();

/** The code points that a JavaScript class as `\s` or `\p{L}` matches. @throws SyntaxError where there is no such class. */
export function classOf(source: string): Ranges {
  const found = known.get(source) ?? findClass(source);
  known.delete(source);
  known.set(source, found);
  for (const oldest of known.keys()) {
    if (known.size <= KEPT) break;
    known.delete(oldest);
  }
  return found;
}

function findClass(source: string): Ranges {
  if (source === '.') return negate([0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029]);
  if (/^\\[DWSP]/.test(source)) return negate(classOf(source.toLowerCase().slice(0, 2) + source.slice(2)));
  const pattern = new RegExp(source, 'u');
  // A million questions take a tenth of a second: no digit, word or space lies far up.
  const last = source.startsWith('\\p') ? LAST : 0xffff;
  const ranges: number[] = [];
  let inside = false;
  for (let code = 0; code <= last + 1; code++) {
    const matches = code <= last && pattern.test(String.fromCodePoint(code));
    if (matches !== inside) ranges.push(inside ? code - 1 : code);
    inside = matches;
  }
  return ranges;
}

/**
 * The UTF-8 encodings of a set, as sequences of byte ranges `[low, high, low, high, ...]`; surrogates have none.
 */
export function utf8(set: Ranges): number[][] {
  const sequences: number[][] = [];
  const add = (first: number, last: number): void => {
    // Where the number of bytes changes.
    for (const edge of [0x7f, 0x7ff, 0xffff]) {
      if (first <= edge && last > edge) {
        add(first, edge);
        add(edge + 1, last);
        return;
      }
    }
    // Where all continuation bytes below one that differs are not free to be any.
    for (const bits of [6, 12, 18]) {
      const low = (1 << bits) - 1;
      if (last <= 0x7f || first >> bits === last >> bits) continue;
      if ((first & low) !== 0) {
        add(first, first | low);
        add((first | low) + 1, last);
        return;
      }
      if ((last & low) !== low) {
        add(first, (last & ~low) - 1);
        add(last & ~low, last);
        return;
      }
    }
    const [from, to] = [encode(first), encode(last)];
    sequences.push(from.flatMap((byte, i) => [byte, to[i]]));
  };
  const text = intersect(set, [0, 0xd7ff, 0xe000, LAST]);
  for (let i = 0; i < text.length; i += 2) add(text[i], text[i + 1]);
  return sequences;
}

function encode(code: number): number[] {
  if (code <= 0x7f) return [code];
  const rest = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
  if (code <= 0x7ff) return [0xc0 | (code >> 6), rest(0)];
  if (code <= 0xffff) return [0xe0 | (code >> 12), rest(6), rest(0)];
  return [0xf0 | (code >> 18), rest(12), rest(6), rest(0)];
}
