import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { folderStore, type Disk, type DiskFile, type ModelStore } from '@llava-sp/core';
import { openFile } from './files.ts';
import { cacheFolder } from './settings.ts';

/** Where downloaded models lie; {@link cache} says it to people. */
export function modelsFolder(platform = process.platform, env = process.env): string {
  return env.LLAVA_SP_CACHE
    ? resolve(env.LLAVA_SP_CACHE)
    : join(cacheFolder(platform, env), 'llava-sp', 'models');
}

/** @param root asked for with every use, so that it may change. */
export function nodeDisk(root: () => string): Disk {
  return {
    root,
    explain(error) {
      const { code } = (error ?? {}) as NodeJS.ErrnoException;
      if (code === 'ENOENT') return 'missing';
      if (code === 'ENOSPC' || code === 'EDQUOT') return 'full';
      return { fix: `Check that ${root()} may be written, or name another folder by LLAVA_SP_CACHE.` };
    },
    async list(path) {
      const entries = await readdir(path, { withFileTypes: true });
      const listed = entries.map(async (entry) => {
        // One may go while the others are looked at.
        const size = entry.isFile()
          ? await stat(join(path, entry.name)).then(
              (s) => s.size,
              () => null,
            )
          : 0;
        return size === null ? [] : [{ name: entry.name, size, isFolder: entry.isDirectory() }];
      });
      return (await Promise.all(listed)).flat();
    },
    makeFolder: async (path) => void (await mkdir(path, { recursive: true })),
    open: (path) => openFile(dirname(path), path.slice(dirname(path).length + 1)),
    openWrite,
    async createNew(path, text) {
      try {
        await writeFile(path, text, { flag: 'wx' });
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
        throw error;
      }
    },
    readText: (path) => readFile(path, 'utf8'),
    writeText: (path, text) => writeFile(path, text, { flush: true }),
    modified: async (path) => (await stat(path)).mtimeMs,
    touch: (path) => utimes(path, new Date(), new Date()),
    rename,
    remove: (path) => rm(path, { recursive: true, force: true }),
    async free() {
      await mkdir(root(), { recursive: true });
      const { bavail, bsize } = await statfs(root());
      return bavail * bsize;
    },
    owner: `${process.pid}@${hostname()}`,
    isDead,
  };
}

async function openWrite(path: string): Promise<DiskFile> {
  // Not for appending, where Linux ignores places; and without emptying it.
  const handle = await open(path, 'a').then(async (made) => {
    await made.close();
    return open(path, 'r+');
  });
  return {
    size: (await handle.stat()).size,
    async write(bytes, at) {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
        done += bytesWritten;
      }
    },
    truncate: () => handle.truncate(0),
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}

/** Only of processes on this machine that can be told: containers share folders, too, and have names of their own. */
function isDead(owner: string): boolean {
  const [, pid, host] = /^(\d+)@(.+)$/.exec(owner) ?? [];
  if (pid === undefined || host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

export const nodeStore: ModelStore = folderStore(nodeDisk(modelsFolder));
