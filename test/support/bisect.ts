/** Runs one program on two backends with every tensor read back, and finds the first command that differs. */
import type { Backend, RunOptions, StoredWeight } from '../../packages/core/src/backend/index.ts';
import type { Command, Program, Storage, Tensor } from '../../packages/core/src/ops/index.ts';
import { allowed, describe, difference, written, type Difference } from './tolerance.ts';

export interface FirstDifference {
  /** Index in `program.commands`. */
  readonly index: number;
  readonly command: Command;
  /** The storage that differs. */
  readonly name: string;
  readonly difference: Difference;
  /** The bound it broke. */
  readonly allowed: number;
}

/**
 * Runs `program` on `a` (the candidate) and `b` (the truth) and returns the first command whose output differs by more
 * than `tolerance(command)` of the largest magnitude (default: 8 times the op's own tolerance, since errors add up along
 * a program), or nothing. What it finds is printed, with the command's parameters.
 *
 * Both backends get the weights, and the caches when they have none (`withCaches`, true by default). Commands that write
 * the same storage are told apart by running the program up to each of them.
 */
export async function compareBackends(
  program: Program,
  weights: readonly StoredWeight[],
  inputs: NonNullable<RunOptions['inputs']>,
  a: Backend,
  b: Backend,
  options: { pos?: number; tolerance?: (command: Command) => number; withCaches?: boolean } = {},
): Promise<FirstDifference | undefined> {
  const { pos = 0, tolerance = (command: Command) => 8 * allowed(command, pos), withCaches = true } = options;
  for (const backend of [a, b]) {
    for (const weight of weights) await backend.loadWeight(weight);
    if (withCaches && program.caches.length > 0) await backend.createCache(program.caches);
  }
  const outputs = (backend: Backend, part: Program) => runOnce(backend, part, { inputs, pos });

  const whole = tapAll(program);
  const [got, want] = [await outputs(a, whole.program), await outputs(b, whole.program)];
  const writers = new Map<number, number[]>();
  program.commands.forEach((command, index) => {
    for (const t of written(command)) writers.set(t.storage, [...(writers.get(t.storage) ?? []), index]);
  });

  for (const [index, command] of program.commands.entries()) {
    for (const { storage } of written(command)) {
      const indices = writers.get(storage) ?? [];
      const position = whole.tapped.indexOf(storage);
      if (position < 0) continue;
      if (indices.length === 1) {
        const found = verdict(program, index, storage, got[position], want[position], tolerance(command));
        if (found) return found;
        continue;
      }
      const part = tapAll({ ...program, commands: program.commands.slice(0, index + 1) });
      const at = part.tapped.indexOf(storage);
      const [partGot, partWant] = [await outputs(a, part.program), await outputs(b, part.program)];
      const found = verdict(program, index, storage, partGot[at], partWant[at], tolerance(command));
      if (found) return found;
    }
  }
  return undefined;
}

async function runOnce(backend: Backend, program: Program, options: RunOptions): Promise<Float32Array[]> {
  const executable = await backend.compile(program);
  try {
    return (await backend.run(executable, options)).map((output) => output.slice());
  } finally {
    executable.release();
  }
}

/**
 * `program` with every storage that a command writes (but inputs) as an output, whole; `tapped` are the storages in
 * output order. What no command wrote is NaN in the reference, and is not compared.
 */
export function tapAll(program: Program): { program: Program; tapped: number[] } {
  const writtenTo = new Set(program.commands.flatMap(written).map((t) => t.storage));
  const touched = new Set([...writtenTo].filter((storage) => program.storages[storage].kind !== 'input'));
  const tapped = [...touched].sort((x, y) => x - y);
  const storages: Storage[] = program.storages.map((storage, i) =>
    touched.has(i) ? { ...storage, kind: 'output' } : storage,
  );
  const extents = tapped.map((storage) => extent(program, storage));
  return { program: { ...program, name: `${program.name} (tapped)`, storages, outputs: extents }, tapped };
}

/** The view that covers what is written of a storage: its own rows and columns where all writers agree. */
function extent(program: Program, storage: number): Tensor {
  const { size } = program.storages[storage];
  const views = program.commands.flatMap(written).filter((t) => t.storage === storage);
  const cols = views[0].ld;
  if (views.every((t) => t.ld === cols) && size % cols === 0) {
    return { storage, offset: 0, rows: size / cols, cols, ld: cols };
  }
  return { storage, offset: 0, rows: 1, cols: size, ld: size };
}

function verdict(
  program: Program,
  index: number,
  storage: number,
  got: Float32Array,
  want: Float32Array,
  limit: number,
): FirstDifference | undefined {
  const command = program.commands[index];
  const found = difference(got, want);
  if (found.largest <= limit) return undefined;
  const { name } = program.storages[storage];
  const where = `value ${found.at} of "${name}": ${got[found.at]}, expected ${want[found.at]}`;
  console.error(
    `first difference: command ${index} of ${program.commands.length} in "${program.name}"\n` +
      `  ${describe(program, command)}\n  ${where}; off by ${found.largest.toExponential(2)}, allowed ${limit.toExponential(2)}`,
  );
  return { index, command, name, difference: found, allowed: limit };
}
