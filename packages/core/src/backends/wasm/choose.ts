import type { Choice } from '../../backend/index.ts';
import { DeviceError } from '../../errors/index.ts';
import type { Host } from '../../host.ts';
import type { ProbeResult, Variant } from './protocol.ts';
import type { KernelChoice } from './select/linear.ts';
import type { ThreadPool } from './threads.ts';

/** The build of the kernels that was taken, and why. */
export interface Selection {
  readonly module: WebAssembly.Module;
  readonly variant: Variant;
  readonly choice: KernelChoice;
  readonly choices: readonly Choice[];
}

/** By expectation: a later one is taken only when it is clearly faster, for a busy machine makes times uncertain. */
const VARIANTS: readonly Variant[] = ['relaxed', 'simd'];
const CLEARLY = 0.8;

/** Compiles the builds that this engine accepts, tests and times them on thread 0, and takes the fastest. */
export async function chooseKernels(host: Host, pool: ThreadPool, forced?: Variant): Promise<Selection> {
  const modules: { variant: Variant; module: WebAssembly.Module }[] = [];
  const refused: string[] = [];
  for (const variant of forced ? [forced] : VARIANTS) {
    const bytes = (await host.readKernels(`kernels.${variant}.wasm`)) as Uint8Array<ArrayBuffer>;
    if (WebAssembly.validate(bytes)) modules.push({ variant, module: await WebAssembly.compile(bytes) });
    else refused.push(`${variant}: this engine lacks its instructions`);
  }
  const probed = (await pool.one(0, { type: 'probe', modules })) as ProbeResult[];
  for (const { variant, refusal } of probed) if (refusal) refused.push(`${variant}: ${refusal}`);
  const passed = probed.filter((result) => !result.refusal);
  if (passed.length === 0) {
    throw new DeviceError({
      code: 'SELF_TEST_FAILED',
      message: `No build of the WASM kernels works in this engine (${refused.join('; ')}).`,
      fix: 'Update the browser or runtime: WebAssembly SIMD is needed.',
    });
  }
  const cost = (result: ProbeResult): number => fastest(result.gemv).ms + result.gemm;
  const best = passed.reduce((a, b) => (cost(b) < CLEARLY * cost(a) ? b : a));
  const gemv = fastest(best.gemv);
  const chosen = modules.find(({ variant }) => variant === best.variant);
  if (!chosen) throw new Error(`variant ${best.variant} was not compiled`);

  const times = passed
    .map((p) => `${p.variant} ${fastest(p.gemv).ms.toFixed(2)} + ${p.gemm.toFixed(2)} ms`)
    .join(', ');
  const reasons = [
    forced ? 'asked for' : `measured at load: ${times}`,
    ...refused.map((r) => `refused ${r}`),
  ];
  const forms = best.gemv.map(({ kernel, ms }) => `${kernel} ${ms.toFixed(3)} ms`).join(', ');
  return {
    module: chosen.module,
    variant: best.variant,
    choice: { q4Gemv: gemv.kernel },
    choices: [
      { what: 'kernels', chosen: best.variant, reason: reasons.join('; ') },
      { what: 'q4 matrix-vector', chosen: gemv.kernel, reason: `measured at load: ${forms}` },
    ],
  };
}

function fastest(timed: ProbeResult['gemv']): ProbeResult['gemv'][number] {
  return timed.reduce((a, b) => (b.ms < CLEARLY * a.ms ? b : a));
}
