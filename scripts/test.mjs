// `npm test`: installs what the tests need, builds, checks, tests, and ends with `N passed, N failed`.
// Every step runs even when an earlier one failed; each failed step counts as one failed test.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { install, root, run } from './run.mjs';

await install();

const results = join(root, '.cache/test-results.json');
rmSync(results, { force: true });
mkdirSync(join(root, '.cache'), { recursive: true });

/** A step that fails fails the run; what it is for stands in its name. */
const steps = [
  ['wasm toolchain', () => run('bash', ['wasm/install-toolchain.sh'])],
  ['wasm kernels equal the committed ones', () => run('bash', ['wasm/check.sh'])],
  ['graphics drivers', () => run('bash', ['scripts/install-gpu.sh'])],
  ['build', () => run('node', ['scripts/build.mjs'])],
  ['types', () => run('tsc', ['--noEmit', '-p', 'tsconfig.json'])],
  ['types of the playground', () => run('tsc', ['--noEmit', '-p', 'examples/playground'])],
  ['lint', () => run('eslint', ['.'])],
  ['format', () => run('prettier', ['--check', '--log-level', 'warn', '.'])],
  [
    'import rules',
    () => run('depcruise', ['--config', '.dependency-cruiser.cjs', 'packages', 'examples/playground/src']),
  ],
  ['packages', () => run('node', ['scripts/check-packages.mjs'])],
  ['sizes', () => run('node', ['scripts/sizes.mjs'])],
  ['licences', () => run('node', ['scripts/licences.mjs', '--check'])],
  ['API reference', () => run('node', ['scripts/docs.mjs'])],
  [
    'tests',
    () => run('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${results}`]),
  ],
];

let passed = 0;
let failed = 0;
const failures = [];
for (const [name, step] of steps) {
  console.error(`\n== ${name}`);
  const start = Date.now();
  try {
    await step();
    if (name !== 'tests') passed++;
  } catch (error) {
    failures.push(`${name}: ${String(error.message).split('\n')[0]}`);
    if (name !== 'tests') failed++;
    else if (!existsSync(results)) failed++;
  }
  console.error(`== ${name}: ${((Date.now() - start) / 1000).toFixed(0)} s`);
}

if (existsSync(results)) {
  const report = JSON.parse(readFileSync(results, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  // A file that could not even be loaded has no tests to count.
  const broken = report.testResults.filter(
    (f) => f.status === 'failed' && f.assertionResults.length === 0,
  ).length;
  failed += broken;
  if (report.numTotalTests === 0) failed++;
  const skipped = report.numPendingTests + report.numTodoTests;
  if (skipped > 0) console.error(`${skipped} tests were skipped; each says why in its name.`);
}
if (failed === 0 && failures.length > 0) failed = failures.length;
for (const failure of failures) console.error(`FAILED ${failure}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
