import { formatError } from './ast.ts';
import { classOf, type Ranges } from './ranges.ts';

/** About as many characters, ranges of characters and parts as are read in a tenth of a second. */
const MOST_STEPS = 200_000;
/** To find out which characters have a property takes a tenth of a second. */
const MOST_PROPERTIES = 8;

/** What reading one format may cost: who asks need not be trusted. */
export class Effort {
  #left = MOST_STEPS;
  readonly #properties = new Set<string>();

  /** @throws {ArgumentError} `FORMAT_INVALID` when that is more than is left. */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw formatError('it is too large', 'Ask for less in one answer.');
  }

  /** {@link classOf}, of so many properties at most. @throws SyntaxError where there is no such class. */
  classOf(source: string): Ranges {
    if (/^\\p/i.test(source)) {
      this.#properties.add(source.slice(2));
      if (this.#properties.size > MOST_PROPERTIES)
        throw formatError(`it names more than ${MOST_PROPERTIES} properties as \\p{L}`);
    }
    const ranges = classOf(source);
    this.spend(ranges.length);
    return ranges;
  }
}
