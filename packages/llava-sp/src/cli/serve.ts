import { isLoopback } from '../serve/access.ts';
import { Service } from '../serve/server.ts';
import type { Flags } from '../cli.ts';
import { loadFor, nameOf } from './model.ts';
import { EXIT, numberOption, UsageError } from './usage.ts';

/** One that no well-known service has. */
const PORT = 11_435;

/** `llava-sp serve`: an OpenAI-compatible server for one model, until it is stopped by SIGINT or SIGTERM. */
export async function runServe(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length > 0) throw new UsageError('serve takes no arguments; choose a model with --model SOURCE');
  const host = flags.host ?? '127.0.0.1';
  const apiKey = flags['api-key'] ?? process.env.LLAVA_SP_API_KEY;
  if (apiKey === '') throw new UsageError('--api-key is empty');
  const options = {
    host,
    port: whole('port', flags.port, PORT, 0, 65_535),
    name: nameOf(flags.model),
    apiKey,
    maxQueue: whole('max-queue', flags['max-queue'], 32, 0, 10_000),
    maxBody: Math.round(1e6 * between('max-body', flags['max-body'], 20, 0.001, 500)),
    remoteImages: flags['allow-private-images'] ? 'any' : flags['allow-http-images'] ? 'public' : 'none',
    cors: originOf(flags.cors),
    log: flags.quiet ? undefined : (line: string) => console.error(line),
  } as const;
  const stopped = new AbortController();
  const stop = (): void => {
    // A second one ends the process at once.
    for (const name of SIGNALS) process.removeListener(name, stop);
    stopped.abort();
  };
  for (const name of SIGNALS) process.on(name, stop);

  const model = await loadFor(flags, stopped.signal);
  let failed: Error | null = null;
  try {
    const service = await Service.start(model, {
      ...options,
      onFailure(error) {
        failed = error;
        stop();
      },
    });
    if (!isLoopback(host) && apiKey === undefined) {
      console.error(`warning: whoever reaches ${host} may ask this model; --api-key KEY keeps them out`);
    }
    console.log(`${options.name} is served at ${service.url}`);
    if (!stopped.signal.aborted) {
      await new Promise((done) => stopped.signal.addEventListener('abort', done, { once: true }));
    }
    await service.close();
  } finally {
    for (const name of SIGNALS) process.removeListener(name, stop);
    await model.dispose();
  }
  if (failed) throw failed as Error;
  return EXIT.ok;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function between(
  name: string,
  value: string | undefined,
  otherwise: number,
  least: number,
  most: number,
): number {
  const number = numberOption(name, value) ?? otherwise;
  if (!(number >= least && number <= most))
    throw new UsageError(`--${name} wants a number of ${least} to ${most}`);
  return number;
}

function whole(
  name: string,
  value: string | undefined,
  otherwise: number,
  least: number,
  most: number,
): number {
  const number = between(name, value, otherwise, least, most);
  if (!Number.isInteger(number)) throw new UsageError(`--${name} wants a whole number, not "${value}"`);
  return number;
}

function originOf(cors: string | undefined): string | undefined {
  if (cors === undefined || cors === '*') return cors;
  if (URL.canParse(cors) && new URL(cors).origin !== 'null') return new URL(cors).origin;
  throw new UsageError(`--cors wants an origin, as http://localhost:5173, or "*", not "${cors}"`);
}
