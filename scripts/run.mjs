// Helpers for the scripts of package.json. They run on the machine's own Node before anything is installed, and put the
// project's tools and its Node first on the path.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(fileURLToPath(import.meta.url), '../..');

const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}` };

/** Runs a command in the project's root with its output shown; rejects when it fails. */
export function run(command, args, { cwd = '.', quiet = false } = {}) {
  return new Promise((done, fail) => {
    // What a tool prints is not the answer: stdout is kept for that.
    const stdio = ['ignore', quiet ? 'pipe' : 2, quiet ? 'pipe' : 2];
    const child = spawn(command, args, { cwd: resolve(root, cwd), env, stdio });
    let output = '';
    child.stdout?.on('data', (data) => (output += data));
    child.stderr?.on('data', (data) => (output += data));
    child.on('error', fail);
    child.on('close', (code) => {
      if (code === 0) return done(output);
      fail(new Error(`${command} ${args.join(' ')} ended with ${code}\n${output}`));
    });
  });
}

/** Installs the npm packages when they are absent or the lock file has changed since. */
export async function install() {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const stamp = join(root, 'node_modules/.installed-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.error('Installing npm packages ...');
  await run('npm', ['ci', '--no-audit', '--no-fund'], { quiet: true });
  writeFileSync(stamp, lock);
}

/** Runs a command with the terminal as it is, and gives its exit code. */
export function hand(command, args) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: root, env, stdio: 'inherit' });
    // Ctrl-C goes to the child too: it decides.
    process.on('SIGINT', () => undefined);
    child.on('error', fail);
    child.on('close', (code, signal) => done(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}
