import { formatError, type Node } from './ast.ts';
import { DEAD, Dfa } from './dfa.ts';
import { buildNfa } from './nfa.ts';

/** Whether some text fits both. `work` counts down, over several calls. @throws {ArgumentError} `FORMAT_INVALID` when that takes too long to find out. */
export function overlap(a: Node, b: Node, work: { left: number }): boolean {
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
    if (--work.left < 0) {
      throw formatError(
        'whether options of "oneOf" have values in common takes too long to find out',
        'Write "anyOf".',
      );
    }
  }
  return false;
}
