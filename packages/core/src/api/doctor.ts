import type { DoctorOptions, DoctorReport } from '../doctor/report.ts';
import type { Host } from '../host.ts';

/**
 * Runs every kernel that this machine can run on small hostile data, compares with float64, and says what the device `auto`
 * would be and why. What is found wrong is avoided by later loads. Takes up to a minute where the GPU is the CPU.
 *
 * @throws {AbortedError} when the signal is aborted; all else is in the report.
 */
export async function doctor(host: Host, options: DoctorOptions = {}): Promise<DoctorReport> {
  // A chunk of its own: who never asks never loads it.
  const { examine } = await import('../doctor/index.ts');
  return examine(host, options);
}
