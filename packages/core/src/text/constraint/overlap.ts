import { formatError, type Node } from './ast.ts';
import { DEAD, Dfa } from './dfa.ts';
import { buildNfa } from './nfa.ts';

/** What making an automaton costs beside its states. */
const AUTOMATON = 100;

/**
 * Whether some text fits two of the options. `work` counts down, over several calls.
 *
 * @throws {ArgumentError} `FORMAT_INVALID` when that takes too long to find out.
 */
export function overlap(options: readonly Node[], work: { left: number }): boolean {
  const spend = (steps: number): void => {
    work.left -= steps;
    if (work.left >= 0) return;
    throw formatError(
      'whether options of "oneOf" have values in common takes too long to find out',
      'Write "anyOf".',
    );
  };
  const automata = options.map((option) => {
    const nfa = buildNfa(option);
    spend(nfa.edges.length + AUTOMATON);
    return new Dfa(nfa);
  });
  return automata.some((a, i) => automata.slice(i + 1).some((b) => meet(a, b, spend)));
}

function meet(a: Dfa, b: Dfa, spend: (steps: number) => void): boolean {
  const pairs = new Set(['0 0']);
  for (const pair of pairs) {
    const [x, y] = pair.split(' ').map(Number);
    if (a.accepting(x) && b.accepting(y)) return true;
    const before = a.work + b.work;
    const symbols = [...a.symbols(x), ...b.symbols(y)];
    for (const symbol of symbols) {
      const [nextX, nextY] = [a.step(x, symbol), b.step(y, symbol)];
      if (nextX !== DEAD && nextY !== DEAD) pairs.add(`${nextX} ${nextY}`);
    }
    spend(1 + symbols.length + a.work + b.work - before);
  }
  return false;
}
