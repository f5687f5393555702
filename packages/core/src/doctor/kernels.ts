/** Every variant of every WGSL kernel, one by one. */
import { throwIfAborted } from '../errors/index.ts';
import type { WebGpuBackend } from '../backends/webgpu/index.ts';
import { refusal, defaultSelection, usesHalves, type Capabilities } from '../backends/webgpu/select/rules.ts';
import type { Trial } from '../backends/webgpu/select/choose.ts';
import {
  attempt,
  cases,
  failure,
  prepare,
  ROUNDED,
  runCases,
  SAMPLING,
  testSampling,
  type Case,
} from '../backends/webgpu/self_test/index.ts';
import { kernelNames, kernels, type KernelName } from '../backends/webgpu/shader.ts';
import type { DoctorOptions, DoctorRow } from './report.ts';

/** Runs of a test program in the measurement: some variants are very slow on some adapters. */
const REPEATS = 1;

/** One variant of one kernel on a backend that uses it. */
interface Job {
  readonly kernel: KernelName;
  readonly variant: string;
}

/** A row for each case of each variant; one for a variant that the adapter can't run. */
export async function examineKernels(
  trial: Trial,
  capabilities: Capabilities,
  { signal, onProgress, kernels: asked }: DoctorOptions,
): Promise<DoctorRow[]> {
  const names = kernelNames.filter((name) => asked?.includes(name) ?? true);
  const jobs = names.flatMap((kernel): Job[] =>
    Object.keys(kernels[kernel].variants).map((variant) => ({ kernel, variant })),
  );
  const rows: DoctorRow[] = [];
  const total = jobs.reduce((sum, job) => sum + tests(job.kernel).length, 0);
  let done = 0;
  const add = (row: DoctorRow, count = 1): void => {
    rows.push(row);
    done += count;
    onProgress?.(row, done, total);
  };
  for (const { kernel, variant } of jobs) {
    const own = tests(kernel);
    const lacking = refusal(kernels[kernel].variants[variant], capabilities);
    if (lacking !== undefined) {
      add({ kernel, variant, form: 'all', verdict: 'unsupported', reason: lacking }, own.length);
      continue;
    }
    const base = defaultSelection(capabilities, usesHalves(kernel, variant));
    const variants = { ...base.variants, [kernel]: variant };
    const backend = trial({ ...base, variants, int8: ROUNDED.includes(kernel) });
    try {
      const ready = await attempt(() => prepare(backend));
      for (const test of own) {
        throwIfAborted(signal);
        add(
          typeof ready === 'string'
            ? failed(kernel, variant, ready)
            : await examine(backend, kernel, variant, test),
        );
      }
    } finally {
      backend.free();
    }
  }
  return rows;
}

/** Null: sampling, which is no case. */
function tests(kernel: KernelName): readonly (Case | null)[] {
  const own = cases.filter((one) => one.kernel === kernel);
  return (SAMPLING as readonly KernelName[]).includes(kernel) ? [...own, null] : own;
}

async function examine(
  backend: WebGpuBackend,
  kernel: KernelName,
  variant: string,
  test: Case | null,
): Promise<DoctorRow> {
  if (!test) {
    const wrong = await attempt(async () => (await testSampling(backend, kernel, false)) ?? null);
    return wrong === null ? { kernel, variant, form: '', verdict: 'ok' } : failed(kernel, variant, wrong);
  }
  const ran = await attempt(() => runCases(backend, [test], REPEATS));
  if (typeof ran === 'string') return failed(kernel, variant, ran);
  const used = ran.dispatches.filter((dispatch) => dispatch.kernel === kernel);
  const forms = new Set(used.map(({ options }) => formOf(options)));
  const form = [...forms].join(', ');
  if (!used.some((dispatch) => dispatch.variant === variant)) {
    const { maximum = {} } = kernels[kernel].variants[variant];
    const limits = Object.entries(maximum).map(([name, most]) => `${name} at most ${most}`);
    return {
      kernel,
      variant,
      form,
      verdict: 'unsupported',
      reason: limits.join(', ') || 'not for this form',
    };
  }
  const [outcome] = ran.outcomes;
  const { error, allowed } = outcome;
  const reason = failure(outcome);
  const verdict = reason === undefined ? 'ok' : 'failed';
  return { kernel, variant, form, verdict, reason, error, allowed, us: ran.ms * 1000 };
}

function failed(kernel: KernelName, variant: string, reason: string): DoctorRow {
  return { kernel, variant, form: '', verdict: 'failed', reason };
}

/** As `q4 rms gelu`: the options that are on. */
function formOf(options: Readonly<Record<string, string | number | boolean>>): string {
  const parts = Object.entries(options).flatMap(([name, value]) => {
    if (value === false || value === 'none') return [];
    if (value === true) return [name.toLowerCase()];
    return [typeof value === 'number' ? `${name.toLowerCase()} ${value}` : value];
  });
  return parts.join(' ');
}
