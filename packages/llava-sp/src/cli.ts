#!/usr/bin/env node
/** The command line: `llava-sp ask IMAGE QUESTION` and the commands beside it; see cli/usage.ts. */
import { parseArgs } from 'node:util';
import { ask } from './cli/ask.ts';
import { runCache } from './cli/cache.ts';
import { runConvert } from './cli/convert.ts';
import { runDoctor } from './cli/doctor.ts';
import { info } from './cli/info.ts';
import { runInspect } from './cli/inspect.ts';
import { EXIT, help, report, UsageError } from './cli/usage.ts';
import { version } from './cli/version.ts';

const options = {
  model: { type: 'string', short: 'm' },
  device: { type: 'string', short: 'd' },
  precision: { type: 'string' },
  threads: { type: 'string', short: 't' },
  'max-tokens': { type: 'string' },
  temperature: { type: 'string' },
  seed: { type: 'string' },
  out: { type: 'string', short: 'o' },
  base: { type: 'string' },
  'vision-tower': { type: 'string' },
  llm: { type: 'string' },
  sfe: { type: 'string' },
  detail: { type: 'string' },
  vision: { type: 'string' },
  projector: { type: 'string' },
  embeddings: { type: 'string' },
  group: { type: 'string' },
  tries: { type: 'string' },
  calibrate: { type: 'string' },
  'calibrate-with': { type: 'string' },
  context: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  'api-key': { type: 'string' },
  'max-queue': { type: 'string' },
  'max-body': { type: 'string' },
  'allow-http-images': { type: 'boolean' },
  'allow-private-images': { type: 'boolean' },
  cors: { type: 'string' },
  images: { type: 'string' },
  annotations: { type: 'string' },
  metric: { type: 'string' },
  split: { type: 'string' },
  box: { type: 'string' },
  prompt: { type: 'string' },
  suffix: { type: 'string' },
  limit: { type: 'string' },
  answers: { type: 'string' },
  frame: { type: 'string' },
  compare: { type: 'boolean' },
  json: { type: 'boolean' },
  stats: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

export type Flags = ReturnType<typeof parse>['values'];

function parse(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause));
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parse(process.argv.slice(2));
  const [command, ...rest] = positionals;
  if (values.version) {
    console.log(await version());

    return EXIT.ok;
  }
  if (values.help || command === 'help') {
    console.log(help);
    return EXIT.ok;
  }
  switch (command) {
    case 'ask':
      return ask(rest, values);
    case 'info':
      return info(rest, values);
    case 'cache':
      return runCache(rest, values);
    case 'convert':
      return runConvert(rest, values);
    case 'inspect':
      return runInspect(rest, values);
    case 'doctor':
      return runDoctor(rest, values);
    case 'eval':
      // Other commands need none of it.
      return (await import('./cli/eval.ts')).runEval(rest, values);
    case 'serve':
      // Nor of this.
      return (await import('./cli/serve.ts')).runServe(rest, values);
    case undefined:
      throw new UsageError('a command is missing');
    default:
      throw new UsageError(`there is no command "${command}"`);
  }
}

// Whoever read the answer has gone (`| head`): nothing is left to do.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = report(error, process.argv.includes('--json'));
}
