import type { Backend } from '../../packages/core/src/backend/index.ts';
import type { Command, Program, Tensor } from '../../packages/core/src/ops/index.ts';
import {
  createReference,
  type ReferenceBackend,
  type ReferenceOptions,
} from '../../packages/core/src/reference/backend.ts';
import { compareBackends } from '../support/bisect.ts';
import { allowed, describe, difference, written } from '../support/tolerance.ts';
import { caches, type Case } from './case.ts';

/** What was seen of one label on one backend. */
interface Seen {
  values: number;
  largest: number;
  /** The largest share of what was allowed. */
  share: number;
  sum: number;
}

/** Errors by label and backend, for one table at the end. */
export class ErrorTable {
  readonly #rows = new Map<string, Map<string, Seen>>();

  add(label: string, column: string, largest: number, mean: number, count: number, limit: number): void {
    const row = this.#rows.get(label) ?? new Map<string, Seen>();
    this.#rows.set(label, row);
    const seen = row.get(column) ?? { values: 0, largest: 0, share: 0, sum: 0 };
    row.set(column, seen);
    seen.values += count;
    seen.sum += mean * count;
    seen.largest = Math.max(seen.largest, largest);
    seen.share = Math.max(seen.share, limit > 0 ? largest / limit : largest > 0 ? Infinity : 0);
  }

  /** Per column `largest (share of the bound)` and the mean, relative to the largest true magnitude. */
  toString(): string {
    const columns = [...new Set([...this.#rows.values()].flatMap((row) => [...row.keys()]))];
    const cell = (seen: Seen | undefined) =>
      seen
        ? `${seen.largest.toExponential(1)} (${Math.round(seen.share * 100)} %) ~${(seen.sum / seen.values).toExponential(1)}`
        : '-';
    const lines = [...this.#rows]
      .sort()
      .map(([label, row]) => [label, ...columns.map((c) => cell(row.get(c)))]);
    const table = [['largest (of the bound) ~mean', ...columns], ...lines];
    const widths = table[0].map((_, i) => Math.max(...table.map((line) => line[i].length)));
    return table.map((line) => line.map((text, i) => text.padEnd(widths[i])).join('  ')).join('\n');
  }
}

/** The true outputs of every run of every case, computed once for all backends. */
export class Truth {
  readonly #reference: ReferenceBackend;
  readonly #outputs = new Map<string, Float64Array[][]>();
  #started = false;

  /** `activationRounding`: whether, or of which linears, the backends round x to int8 in front of q8 and q4 weights. */
  constructor(activationRounding: ReferenceOptions['activationRounding'] = true) {
    this.#reference = createReference({ activationRounding });
  }

  /** Per run, per output of the program. Cases that share a cache must be asked for in their order. */
  async of(subject: Case): Promise<Float64Array[][]> {
    if (!this.#started) await this.#reference.createCache(caches);
    this.#started = true;
    const known = this.#outputs.get(subject.name);
    if (known) return known;
    for (const weight of subject.weights) await this.#reference.loadWeight(weight);
    const executable = await this.#reference.compile(subject.program);
    const runs: Float64Array[][] = [];
    for (const run of subject.runs) {
      const all = [...(await this.#reference.runExact(executable, run)).values()];
      runs.push(
        subject.program.outputs.map((t) => all[t.storage].slice(t.offset, t.offset + t.rows * t.cols)),
      );
    }
    this.#outputs.set(subject.name, runs);
    return runs;
  }
}

/** Runs the cases on `backend`, adds to the table, and returns what failed: one text a failure, with seed and parameters. */
export async function check(
  backend: Backend,
  column: string,
  cases: readonly Case[],
  truth: Truth,
  table: ErrorTable,
  limitOf: (command: Command, pos: number) => number = allowed,
): Promise<string[]> {
  const failures: string[] = [];
  for (const subject of cases) {
    const want = await truth.of(subject);
    await backend.reserve?.(subject.weights, [subject.program]);
    for (const weight of subject.weights) await backend.loadWeight(weight);
    const executable = await backend.compile(subject.program);
    for (const [i, run] of subject.runs.entries()) {
      const got = await backend.run(executable, run);
      for (const o of subject.program.outputs.keys()) {
        const text = judge(subject, o, run.pos ?? 0, got[o], want[i][o], column, table, limitOf);
        if (text) failures.push(text);
      }
    }
    executable.release();
  }
  return failures;
}

function judge(
  subject: Case,
  output: number,
  pos: number,
  got: Float32Array,
  want: Float64Array,
  column: string,
  table: ErrorTable,
  limitOf: (command: Command, pos: number) => number,
): string | undefined {
  const command = source(subject.program, subject.program.outputs[output]);
  const limit = subject.tolerance?.(command) ?? limitOf(command, pos);
  const found = difference(got, want, subject.yardstick?.(command));
  const label = typeof subject.label === 'string' ? subject.label : subject.label(command);
  table.add(label, column, found.largest, found.mean, want.length, limit);
  const undefinedTruth = want.every(Number.isNaN);
  if (found.largest <= limit && !undefinedTruth) return undefined;
  return [
    `${column}: ${subject.name} (seed ${subject.seed}), output ${output}, pos ${pos}`,
    `  ${describe(subject.program, command)}`,
    undefinedTruth
      ? '  the reference defines none of it'
      : `  value ${found.at} is ${got[found.at]}, not ${want[found.at]}: ` +
        `off by ${found.largest.toExponential(2)}, allowed ${limit.toExponential(2)}`,
  ].join('\n');
}

/** The command that made an output: its last writer, or the writer of what a copy brought there. */
function source(program: Program, output: Tensor): Command {
  const lastWriter = (storage: number) =>
    program.commands.findLast((c) => written(c).some((t) => t.storage === storage));
  const last = lastWriter(output.storage);
  if (!last) throw new Error(`nothing writes "${program.storages[output.storage].name}"`);
  if (last.op !== 'copy') return last;
  return lastWriter(last.x.storage) ?? last;
}

/** Prints where a failed program first differs. */
export async function locate(backend: Backend, subject: Case): Promise<void> {
  const reference = createReference({ activationRounding: true });
  const { inputs = {}, pos } = subject.runs[0];
  await compareBackends(subject.program, subject.weights, inputs, backend, reference, {
    pos,
    withCaches: false,
  });
}
