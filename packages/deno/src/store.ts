import { folderStore, LoadError, type Disk, type DiskFile, type ModelStore } from '@llava-sp/core';
import { openPath } from './files.ts';

/**
 * Where downloaded models lie: the same folder as in Node, so that a model is downloaded once.
 *
 * @throws {LoadError} `CACHE_UNAVAILABLE` when the environment may not be read.
 */
function modelsFolder(): string {
  try {
    const own = Deno.env.get('LLAVA_SP_CACHE');
    if (own) return own;
    return `${cacheFolder()}/llava-sp/models`;
  } catch (cause) {
    if (cause instanceof LoadError) throw cause;
    throw new LoadError({
      code: 'CACHE_UNAVAILABLE',
      message: 'Deno may not read where the cache of models is.',
      fix: 'Run it with --allow-env=LLAVA_SP_CACHE,XDG_CACHE_HOME,HOME,LOCALAPPDATA.',
      cause,
    });
  }
}

function cacheFolder(): string {
  const home = (): string => {
    const found = Deno.env.get(Deno.build.os === 'windows' ? 'USERPROFILE' : 'HOME');
    if (found) return found;
    throw new LoadError({
      code: 'CACHE_UNAVAILABLE',
      message: 'The environment names no home folder for the cache of models.',
      fix: 'Name a folder by LLAVA_SP_CACHE.',
    });
  };
  if (Deno.build.os === 'windows') return Deno.env.get('LOCALAPPDATA') || `${home()}/AppData/Local`;
  if (Deno.build.os === 'darwin') return `${home()}/Library/Caches`;
  const xdg = Deno.env.get('XDG_CACHE_HOME');
  return xdg?.startsWith('/') ? xdg : `${home()}/.cache`;
}

const disk: Disk = {
  root: modelsFolder,
  explain(error) {
    if (error instanceof Deno.errors.NotFound) return 'missing';
    if (/os error (28|122|112)\b/.test(String(error))) return 'full';
    if (error instanceof Deno.errors.NotCapable) {
      const folder = modelsFolder();
      return { fix: `Run it with --allow-read=${folder} and --allow-write=${folder}.` };
    }
    return { fix: `Check that ${modelsFolder()} may be written, or name another folder by LLAVA_SP_CACHE.` };
  },
  async list(path) {
    const listed: { name: string; size: number; isFolder: boolean }[] = [];
    for await (const { name, isFile, isDirectory } of Deno.readDir(path)) {
      // One may go while the others are looked at.
      const size = isFile ? await sizeOf(`${path}/${name}`) : 0;
      if (size !== null) listed.push({ name, size, isFolder: isDirectory });
    }
    return listed;
  },
  makeFolder: (path) => Deno.mkdir(path, { recursive: true }),
  open: (path) => openPath(path),
  openWrite,
  async createNew(path, text) {
    try {
      await Deno.writeTextFile(path, text, { createNew: true });
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
  },
  readText: (path) => Deno.readTextFile(path),
  async writeText(path, text) {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    await writeAll(file, new TextEncoder().encode(text));
    await file.syncData();
  },
  modified: async (path) => (await Deno.stat(path)).mtime?.getTime() ?? Date.now(),
  touch: (path) => Deno.utime(path, new Date(), new Date()),
  rename: (from, to) => Deno.rename(from, to),
  async remove(path) {
    try {
      await Deno.remove(path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  },
  // It does not say.
  free: () => Promise.resolve(null),
  // A name that no process of Node has: whether it lives, only its lock's time tells.
  owner: 'deno',
  isDead: () => false,
};

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await Deno.stat(path)).size;
  } catch {
    return null;
  }
}

async function openWrite(path: string): Promise<DiskFile> {
  const file = await Deno.open(path, { write: true, create: true });
  return {
    size: (await file.stat()).size,
    async write(bytes, at) {
      await file.seek(at, Deno.SeekMode.Start);
      await writeAll(file, bytes);
    },
    truncate: () => file.truncate(0),
    sync: () => file.syncData(),
    close: async () => file.close(),
  };
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

export const denoStore: ModelStore = folderStore(disk);

/** `undefined` where it is not set, and where it may not be read. */
export function environment(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}
