/** Runs a test's code in Deno. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { driverEnv } from './gpu.ts';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const main = fileURLToPath(new URL('./deno_main.ts', import.meta.url));

export interface DenoOptions {
  /** Flags as `--allow-read=examples`; by default it may read the whole repository. */
  permissions?: readonly string[];
  /** Milliseconds until it is killed. */
  timeout?: number;
}

/**
 * Calls the default export of a module in a Deno process whose WebGPU is lavapipe, and gives what it returns. `input` and
 * the result travel as JSON.
 */
export async function runInDeno<T>(
  module: URL,
  input: unknown = null,
  options: DenoOptions = {},
): Promise<T> {
  const { permissions = [`--allow-read=${root}`] } = options;
  const args = ['run', '--no-prompt', '--no-check', '--quiet', ...permissions, main, module.href];
  const output = await deno(args, JSON.stringify(input), options.timeout);
  const last = output.trimEnd().split('\n').at(-1) ?? '';
  return (JSON.parse(last) as { result: T }).result;
}

/** What a Deno process prints to stdout; rejects unless it ends with 0. */
export function deno(
  args: readonly string[],
  stdin = '',
  timeout = 60_000,
  { cwd = root, env = {} }: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn('deno', args, {
      cwd,
      env: {
        ...process.env,
        ...env,
        ...driverEnv('lavapipe'),
        PATH: `${root}node_modules/.bin:${process.env.PATH}`,
        NO_COLOR: '1',
        DENO_NO_UPDATE_CHECK: '1',
      },
    });
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.on('error', fail);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return done(stdout);
      const what = signal ? `was killed (${signal}; ${timeout} ms are allowed)` : `ended with ${code}`;
      fail(new Error(`deno ${args.join(' ')} ${what}\n${stdout}${stderr}`));
    });
    // It may end before it reads.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
  });
}
