import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { Settings } from '@llava-sp/core';

/** `settings.json` in the platform's folder for caches. */
export function settingsPath(platform = process.platform, env = process.env): string {
  return join(cacheFolder(platform, env), 'llava-sp', 'settings.json');
}

/** The platform's folder for caches of the user. */
export function cacheFolder(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): string {
  if (platform === 'win32') return env.LOCALAPPDATA || join(homedir(), 'AppData', 'Local');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches');
  // A relative path is not valid there (XDG base directory specification).
  return env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)
    ? env.XDG_CACHE_HOME
    : join(homedir(), '.cache');
}

/** Settings in one JSON file. Of two processes that write at once the last wins; a reader never sees half a file. */
export function fileSettings(path: string): Settings {
  let writing: Promise<void> = Promise.resolve();
  return {
    get: async (key) => (await readAll(path)).get(key) ?? null,
    set(key, value) {
      writing = writing.then(() => write(path, key, value)).catch(() => undefined);
      return writing;
    },
  };
}

/** Empty where there is no such file, or a damaged one. */
async function readAll(path: string): Promise<Map<string, string>> {
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof json !== 'object' || json === null) return new Map();
    return new Map(
      Object.entries(json).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  } catch {
    return new Map();
  }
}

async function write(path: string, key: string, value: string): Promise<void> {
  const all = (await readAll(path)).set(key, value);
  const temporary = `${path}.${crypto.randomUUID()}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, JSON.stringify(Object.fromEntries(all), null, 2));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
