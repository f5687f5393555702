/** Runs cases on a backend and compares with float64. */
import type { Executable, RunOptions } from '../../../backend/index.ts';
import { DeviceError } from '../../../errors/index.ts';
import { linearF16Tolerance, linearTolerance, type Tensor } from '../../../ops/index.ts';
import { createReference, type ReferenceBackend } from '../../../reference/backend.ts';
import { Compiled } from '../compiled.ts';
import type { Dispatch } from '../dispatch.ts';
import type { WebGpuBackend } from '../index.ts';
import { usesHalves } from '../select/rules.ts';
import { Builder, type Check } from './builder.ts';
import { POSITION, type Case } from './case.ts';
import { caches } from './cases_attention.ts';

/** How far a case was off. */
export interface Outcome {
  /** The largest share of what was allowed, and of which error that was; relative to the output's size. */
  readonly share: number;
  readonly error: number;
  readonly allowed: number;
}

export interface Ran {
  /** In the order of the cases. */
  readonly outcomes: readonly Outcome[];
  /** All dispatches of the second program, where the cases' kernels are. */
  readonly dispatches: readonly Dispatch[];
  /** Milliseconds of one run of it; 0 when not asked for. */
  readonly ms: number;
}

const SEED = 20261;

/** Makes a backend ready for cases: caches are made once. */
export async function prepare(backend: WebGpuBackend): Promise<void> {
  await backend.createCache(caches);
}

/**
 * Runs cases together, as two programs: what is before something, then the rest. On a backend that {@link prepare} saw.
 *
 * @throws {DeviceError} when the driver refuses a kernel.
 */
export async function runCases(backend: WebGpuBackend, cases: readonly Case[], repeats = 0): Promise<Ran> {
  const { variants, int8, gemvRows } = backend.selection;
  const gemm = variants.linear_gemm ?? '';
  const tolerance = gemm && usesHalves('linear_gemm', gemm) ? linearF16Tolerance : linearTolerance;
  // By name, so that one backend can run many: each finds its own weights.
  const name = cases.map(({ kernel }) => kernel).join(' ');
  const first = new Builder(`before ${name}`, SEED, tolerance);
  const second = new Builder(`test ${name}`, SEED + 1, tolerance);
  const ends: number[] = [];
  let later = false;
  for (const one of cases) {
    one.before?.(first);
    later ||= one.before !== undefined;
    one.build(second);
    ends.push(second.checks.length);
  }
  const reference = createReference({ activationRounding: ({ x }) => int8 && x.rows > gemvRows });
  await reference.createCache(caches);
  const released: Executable[] = [];
  try {
    if (later) await runBoth(backend, reference, first, { inputs: first.inputs, pos: 0 }, released);
    const run = { inputs: second.inputs, pos: later ? POSITION : 0 };
    const { got, want, executable } = await runBoth(backend, reference, second, run, released);
    const outcomes = ends.map((end, i) =>
      worst(second.checks.slice(i === 0 ? 0 : ends[i - 1], end), executable.program.outputs, got, want),
    );
    const ms = repeats > 0 ? await backend.time(executable, run, repeats) : 0;
    const dispatches = executable instanceof Compiled ? executable.parts.list.dispatches : [];
    return { outcomes, dispatches, ms };
  } finally {
    for (const executable of released) executable.release();
  }
}

async function runBoth(
  backend: WebGpuBackend,
  reference: ReferenceBackend,
  builder: Builder,
  run: RunOptions,
  released: Executable[],
) {
  const program = builder.finish();
  await backend.reserve(builder.weights, [program]);
  for (const weight of builder.weights) {
    await backend.loadWeight(weight);
    await reference.loadWeight(weight);
  }
  const executable = await scoped(backend, () => backend.compile(program));
  released.push(executable);
  const got = await scoped(backend, () => backend.run(executable, run));
  const data = [...(await reference.runExact(await reference.compile(program), run)).values()];
  const want = program.outputs.map((t) => data[t.storage].subarray(t.offset, t.offset + t.rows * t.cols));
  return { got, want, executable };
}

/** What the driver complains of in `work` is thrown here, and not heard by the device's listener. */
async function scoped<T>({ open }: WebGpuBackend, work: () => Promise<T>): Promise<T> {
  const { device } = open;
  device.pushErrorScope('internal');
  device.pushErrorScope('validation');
  const settled = await work().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const [invalid, internal] = await open.unlessLost(
    Promise.all([device.popErrorScope(), device.popErrorScope()]),
  );
  if ('error' in settled) throw settled.error;
  const complaint = invalid ?? internal;
  if (!complaint) return settled.value;
  throw new DeviceError({
    code: 'SELF_TEST_FAILED',
    message: `The GPU's driver refused a command: ${complaint.message}`,
    fix: 'Update the driver or browser, or use device "wasm".',
  });
}

function worst(
  checks: readonly Check[],
  outputs: readonly Tensor[],
  got: readonly Float32Array[],
  want: readonly Float64Array[],
): Outcome {
  let most: Outcome = { share: 0, error: 0, allowed: 0 };
  for (const { output, allowed, size } of checks) {
    const at = outputs.findIndex(({ storage }) => storage === output.storage);
    const error = relative(got[at], want[at], size);
    // An op that only moves values allows nothing.
    const share = error === 0 ? 0 : error / allowed;
    if (most.allowed === 0 || share > most.share) most = { share, error, allowed };
  }
  return most;
}

/** The largest difference over the largest true value, or `size`. Infinite when a value is not a number. */
function relative(got: Float32Array, want: Float64Array, size: number): number {
  let [largest, off] = [size, 0];
  for (let i = 0; i < want.length; i++) {
    largest = Math.max(largest, Math.abs(want[i]));
    const difference = Math.abs(got[i] - want[i]);
    off = Number.isNaN(difference) ? Infinity : Math.max(off, difference);
  }
  return off === 0 ? 0 : off / largest;
}
