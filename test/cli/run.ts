/** The built command line as a child process, under the Node of node_modules. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
export const node = at('node_modules/.bin/node');
export const cli = at('packages/llava-sp/dist/cli.js');

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Running {
  readonly child: ChildProcess;
  readonly done: Promise<Finished>;
}

/** Milliseconds until a child that hangs is killed; a busy machine takes several seconds to load a model. */
const LIMIT = 60_000;

/** Starts a program; `onStdout` hears of its output as it comes. */
export function start(command: string, args: readonly string[], onStdout?: (text: string) => void): Running {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onStdout?.(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const done = new Promise<Finished>((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ stdout, stderr, code, signal });
    });
  });
  return { child, done };
}

export function run(...args: string[]): Promise<Finished> {
  return start(node, [cli, ...args]).done;
}
