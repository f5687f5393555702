import { ArgumentError } from '../errors/index.ts';
import type { Limits } from './tries.ts';

/** How a model is fetched; nothing of it matters for a folder. */
export interface DownloadOptions {
  /**
   * For hubs that want one: sent to the source's own origin and nowhere else, and never shown. By default hub sources of the
   * usual endpoint take the environment's `HF_TOKEN`, where the runtime has an environment and may read it.
   */
  token?: string;
  /**
   * Asks the server whether the model in the cache is still the newest. By default a whole model is taken from the cache
   * without a request; with this, too, when the server can't be reached, and a warning says so.
   */
  revalidate?: boolean;
  /** How often and how long is tried. */
  download?: {
    /** Files at a time; 4 by default. */
    parallel?: number;
    /** Failures in a row, without a byte between them, that are tried again; 6 by default. */
    retries?: number;
    /** Milliseconds before the first of those; 500 by default. It is doubled each time, to half a minute. */
    backoff?: number;
    /** Milliseconds without a byte after which a connection counts as broken; 30,000 by default. */
    stallTimeout?: number;
  };
}

const DEFAULTS: Limits = { parallel: 4, retries: 6, backoff: 500, stallTimeout: 30_000 };
const LEAST: Limits = { parallel: 1, retries: 0, backoff: 0, stallTimeout: 1 };

/** @throws {ArgumentError} `OPTION_INVALID`. */
export function limitsOf({ token, revalidate, download }: DownloadOptions): Limits {
  if (token !== undefined && typeof token !== 'string') throw wrong('token', 'a text');
  if (revalidate !== undefined && typeof revalidate !== 'boolean') throw wrong('revalidate', 'true or false');
  if (download !== undefined && (typeof download !== 'object' || download === null)) {
    throw wrong('download', 'an object');
  }
  const limits = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof Limits)[]) {
    const value = download?.[name];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < LEAST[name] || value > 2 ** 31 - 1) {
      throw wrong(`download.${name}`, `a whole number of at least ${LEAST[name]}`);
    }
    limits[name] = value;
  }
  return limits;
}

function wrong(name: string, wanted: string): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `${name} must be ${wanted}.`,
    fix: `Correct ${name}, or leave it out for the default.`,
  });
}
