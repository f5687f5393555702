/** Does this adapter compute what the ops say? Loaded when it is asked: it brings the float64 reference with it. */
import { AbortedError } from '../../../errors/index.ts';
import type { WebGpuBackend } from '../index.ts';
import type { KernelName } from '../shader.ts';
import type { Case } from './case.ts';
import { cases } from './cases.ts';
import { prepare, runCases, type Outcome } from './run.ts';
import { testSampling } from './sampling.ts';

export { cases, prepare, runCases, testSampling };
export type { Case, Outcome };

/** Those that have no case: sampling is tested through `decode`. */
export const SAMPLING = ['argmax', 'argmax_final', 'sample'] as const satisfies readonly KernelName[];

/** Cases of these kernels need x rounded to int8. */
export const ROUNDED: readonly KernelName[] = ['linear_gemm_int8', 'quantize_q8'];

/**
 * The cheap part, for the start of a model: what the selection of `backend` gets wrong, by kernel. All at once; only when
 * something is wrong one by one, to find out what. Of `kernels` alone where they are given.
 */
export async function selfTest(
  backend: WebGpuBackend,
  kernels?: readonly KernelName[],
): Promise<Map<KernelName, string>> {
  const { int8 } = backend.selection;
  const asked = cases.filter(
    ({ kernel, atLoad }) =>
      atLoad && (kernels?.includes(kernel) ?? true) && (int8 || !ROUNDED.includes(kernel)),
  );
  const failures = new Map<KernelName, string>();
  await prepare(backend);
  const together = await attempt(() => runCases(backend, asked));
  if (typeof together === 'string' || together.outcomes.some(({ share }) => share > 1)) {
    for (const one of asked) {
      const alone = await attempt(() => runCases(backend, [one]));
      const why = typeof alone === 'string' ? alone : failure(alone.outcomes[0]);
      if (why) failures.set(one.kernel, why);
    }
    // Right alone and wrong together: there is nothing to hold responsible, and nothing to trust.
    if (failures.size === 0) {
      const why = typeof together === 'string' ? together : 'kernels are right alone and wrong together';
      for (const { kernel } of asked) failures.set(kernel, why);
    }
  }
  for (const kernel of ['argmax', 'sample'] as const) {
    if (!(kernels?.includes(kernel) ?? true)) continue;
    const why = await attempt(async () => (await testSampling(backend, kernel, true)) ?? null);
    if (why) failures.set(kernel, why);
  }
  return failures;
}

export function failure({ share, error, allowed }: Outcome): string | undefined {
  if (share <= 1) return undefined;
  return `off by ${error.toExponential(1)}, ${allowed.toExponential(1)} allowed`;
}

/** The result, or why there is none. A lost device or an abort is not the kernel's fault: that goes on. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'DEVICE_LOST') throw error;
    return error instanceof Error ? error.message : String(error);
  }
}
