import { doctor, type DoctorReport, type DoctorRow } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { interruptSignal } from './model.ts';
import { openBar, printTable } from './terminal.ts';
import { EXIT, UsageError } from './usage.ts';

/** `llava-sp doctor`: every kernel against float64, as a table; fails when one of them does. */
export async function runDoctor(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length > 0) throw new UsageError('doctor takes no arguments');
  const bar = openBar(flags, 'testing [{bar}] {value}/{total} {kernel}', 1, { kernel: '' });
  let report: DoctorReport;
  try {
    report = await doctor({
      signal: interruptSignal(),
      onProgress: ({ kernel, variant }, done, total) => {
        bar?.setTotal(total);
        bar?.update(done, { kernel: `${kernel} ${variant}` });
      },
    });
  } finally {
    bar?.stop();
  }
  if (flags.json) console.log(JSON.stringify(report, null, 2));
  else print(report);
  return report.passed ? EXIT.ok : EXIT.failure;
}

function print({ webgpu, wasm, auto, passed }: DoctorReport): void {
  if ('unavailable' in webgpu) {
    console.log(`webgpu    none: ${webgpu.unavailable}\n`);
  } else {
    const { adapter, features, limits, choices, warnings } = webgpu;
    const { maxBufferSize, maxStorageBufferBindingSize } = limits;
    const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = limits;
    const mb = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
    const name = adapter.description || `${adapter.vendor} ${adapter.architecture}`;
    console.log(`webgpu    ${name}${adapter.software ? ' (computes on the CPU)' : ''}
features  ${features.join(', ')}
limits    ${mb(maxBufferSize)} a buffer, ${mb(maxStorageBufferBindingSize)} a binding, ${maxComputeInvocationsPerWorkgroup} invocations and ${maxComputeWorkgroupStorageSize} bytes a workgroup
`);
    printRows(webgpu.rows);
    console.log('');
    for (const { what, chosen, reason } of choices) console.log(`${what}: ${chosen} (${reason})`);
    for (const warning of warnings) console.log(`warning: ${warning}`);
    console.log('');
  }
  printRows(wasm);
  console.log(`\nauto would take ${auto.chosen}: ${auto.reason}`);
  const rows = 'rows' in webgpu ? [...webgpu.rows, ...wasm] : wasm;
  const failed = rows.filter(({ verdict }) => verdict === 'failed').length;
  console.log(passed ? 'no kernel is wrong' : `${failed} of ${rows.length} tests failed`);
}

function printRows(rows: readonly DoctorRow[]): void {
  const size = (value: number | undefined): string => value?.toExponential(1) ?? '';
  const lines = rows.map(({ kernel, variant, form, error, allowed, us, verdict, reason }) => [
    kernel,
    variant,
    form,
    size(error),
    size(allowed),
    us === undefined ? '' : us.toFixed(0),
    reason === undefined ? verdict : `${verdict}: ${reason}`,
  ]);
  printTable([['kernel', 'variant', 'form', 'error', 'allowed', 'us', 'verdict'], ...lines]);
}
