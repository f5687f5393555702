import { formatError, type Node } from './ast.ts';
import { DEAD, Dfa } from './dfa.ts';
import { buildNfa } from './nfa.ts';

/** Pairs of states looked at before it is given up. */
const MOST_PAIRS = 50_000;

/** Whether some text fits both. @throws {ArgumentError} `FORMAT_INVALID` when that takes too long to find out. */
export function overlap(a: Node, b: Node): boolean {
  const [left, right] = [new Dfa(buildNfa(a)), new Dfa(buildNfa(b))];
  const pairs = new Set(['0 0']);
  for (const pair of pairs) {
    const [x, y] = pair.split(' ').map(Number);
    if (left.accepting(x) && right.accepting(y)) return true;
    const symbols = [...left.symbols(x), ...right.symbols(y)];
    for (const symbol of symbols) {
      const [nextX, nextY] = [left.step(x, symbol), right.step(y, symbol)];
      if (nextX !== DEAD && nextY !== DEAD) pairs.add(`${nextX} ${nextY}`);
    }
    if (pairs.size > MOST_PAIRS) {
      throw formatError(
        'whether options of "oneOf" have values in common takes too long to find out',
        'Write "anyOf".',
      );
    }
  }
  return false;
}
