/** Examines what this machine computes with, and what is wrong with it. Loaded when it is asked for. */
import type { Choice } from '../backend/index.ts';
import { createBackend } from '../backends/index.ts';
import { createWasm } from '../backends/wasm/index.ts';
import { withTrials } from '../backends/webgpu/index.ts';
import { capabilitiesOf, chooseVariants, type Chosen } from '../backends/webgpu/select/choose.ts';
import { keyOf } from '../backends/webgpu/select/rules.ts';
import { AbortedError, throwIfAborted } from '../errors/index.ts';
import type { Host } from '../host.ts';
import { examineKernels } from './kernels.ts';
import type { DoctorOptions, DoctorReport, DoctorRow } from './report.ts';

/**
 * Runs every kernel that this machine can run on small hostile data, compares with float64, and says what `auto` would
 * choose. Takes up to a minute on an adapter that computes on the CPU.
 *
 * @throws {AbortedError} when the signal is aborted; nothing else: what fails is in the report.
 */
export async function examine(host: Host, options: DoctorOptions): Promise<DoctorReport> {
  const { signal } = options;
  throwIfAborted(signal);
  const webgpu = await gpuReport(host, options);
  const wasm = [await wasmRow(host, 'simd'), await wasmRow(host, 'relaxed')];
  throwIfAborted(signal);
  const auto = await autoChoice(host);
  const rows = 'rows' in webgpu ? [...webgpu.rows, ...wasm] : wasm;
  return { passed: rows.every(({ verdict }) => verdict !== 'failed'), webgpu, wasm, auto };
}

async function gpuReport(host: Host, options: DoctorOptions): Promise<DoctorReport['webgpu']> {
  try {
    return await withTrials(host, { gpu: options.gpu }, async (open, trial) => {
      const { adapter, device, language } = open;
      const rows = await examineKernels(trial, capabilitiesOf(open), options);
      // What is wrong in any form is not chosen by the next load either.
      const refused = new Map(
        rows
          .filter(({ verdict }) => verdict === 'failed')
          .map(({ kernel, variant, reason = '' }) => [keyOf(kernel, variant), reason]),
      );
      const chosen = await chosenOr(() => chooseVariants(host, open, {}, trial, refused));
      const limits: Record<string, number> = {};
      for (const name of LIMITS) limits[name] = device.limits[name];
      const features = [...device.features].sort();
      const { choices, warnings } = chosen;
      return { adapter, features, language: [...language].sort(), limits, choices, warnings, rows };
    });
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return { unavailable: messageOf(error) };
  }
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;

/** Without a selection there is nothing to report but why. */
async function chosenOr(choose: () => Promise<Chosen>): Promise<Pick<Chosen, 'choices' | 'warnings'>> {
  try {
    return await choose();
  } catch (error) {
    return { choices: [], warnings: [messageOf(error)] };
  }
}

/** Its self-test runs when it starts. */
async function wasmRow(host: Host, variant: 'simd' | 'relaxed'): Promise<DoctorRow> {
  const row = { kernel: 'wasm', variant, form: 'self-test' };
  try {
    const backend = await createWasm(host, { threads: 1, variant });
    await backend.dispose();
    return { ...row, verdict: 'ok' };
  } catch (error) {
    const reason = messageOf(error);
    // An engine without its instructions is no mistake; sums that are wrong are.
    return { ...row, verdict: reason.includes('lacks its instructions') ? 'unsupported' : 'failed', reason };
  }
}

async function autoChoice(host: Host): Promise<Choice> {
  try {
    const { backend, refusals } = await createBackend(host, 'auto', {});
    await backend.dispose();
    return refusals[0];
  } catch (error) {
    return { what: 'device', chosen: 'none', reason: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
