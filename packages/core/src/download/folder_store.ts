import { LlavaSpError, LoadError, throwIfAborted } from '../errors/index.ts';
import type { ByteSource, ModelStore } from '../host.ts';
import { growing, type WritableFile } from './growing.ts';
import { sleep } from './tries.ts';

/** A file of a disk, opened for writing. */
export interface DiskFile extends WritableFile {
  /** Waits until it is on the disk. */
  sync(): Promise<void>;
}

/** Nothing of that name, no room, or what to do about it. */
export type DiskProblem =
  | 'missing'
  | 'full'
  | {
      /** One sentence, for people. */
      readonly fix: string;
    };

/** What lies in a folder. */
export interface DiskEntry {
  /** Without the folder. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** And not a file. */
  readonly isFolder: boolean;
}

/** As much of a file system as a store needs. Paths have `/`; errors come as the platform throws them. */
export interface Disk {
  /** The folder for all models. It need not be there yet. @throws {LoadError} where it can't be told. */
  root(): string;
  /** Of an error: what it means. */
  explain(error: unknown): DiskProblem;
  /** Files and folders in a folder. */
  list(path: string): Promise<readonly DiskEntry[]>;
  /** With the folders above. */
  makeFolder(path: string): Promise<void>;
  /** Opens a file for reading. */
  open(path: string): Promise<ByteSource>;
  /** Opens a file for writing, and makes it where there is none. */
  openWrite(path: string): Promise<DiskFile>;
  /** `false` when there is a file already. */
  createNew(path: string, text: string): Promise<boolean>;
  /** A small file as UTF-8. */
  readText(path: string): Promise<string>;
  /** Writes a small file as UTF-8, and waits until it is on the disk. */
  writeText(path: string, text: string): Promise<void>;
  /** Milliseconds since 1970. */
  modified(path: string): Promise<number>;
  /** Sets that to now. */
  touch(path: string): Promise<void>;
  /** A file that had the name is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** With all in it; nothing where there is nothing. */
  remove(path: string): Promise<void>;
  /** Bytes free for the root; `null` where it can't be told. */
  free(): Promise<number | null>;
  /** This process in the locks that it holds. */
  readonly owner: string;
  /** Whether a process is known to have ended. */
  isDead(owner: string): boolean;
}

/** A holder writes its lock's time so often, and is dead after so long without: in milliseconds. */
const BEAT = 2000;
const DEAD = 15_000;
/** Between two looks at a lock that somebody holds. */
const PAUSE = 100;

/** A store in a folder of a file system, which processes share: the same one for all runtimes of a user. */
export function folderStore(disk: Disk): ModelStore {
  const pathOf = (...names: readonly string[]): string => [disk.root(), ...names].join('/');
  /** `absent` is for where nothing is no error. */
  const guard = async <T>(what: string, work: () => Promise<T>, absent?: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const unreadable = error instanceof LlavaSpError && error.code === 'FILE_UNREADABLE';
      if (error instanceof LlavaSpError && !unreadable) throw error;
      const reason = disk.explain(unreadable ? error.cause : error);
      if (reason === 'missing' && absent !== undefined) return absent;
      throw cacheError(what, reason, error);
    }
  };
  return {
    get location() {
      return disk.root();
    },
    async folders() {
      const found = await guard('listed', () => disk.list(disk.root()), []);
      return found.filter(({ isFolder }) => isFolder).map(({ name }) => name);
    },
    async list(folder) {
      const found = await guard('listed', () => disk.list(pathOf(folder)), []);
      return new Map(found.filter(({ isFolder }) => !isFolder).map(({ name, size }) => [name, size]));
    },
    open: (folder, name) => guard(`${folder}/${name} read`, () => disk.open(pathOf(folder, name))),
    append: (folder, name) =>
      guard('written', async () => {
        await disk.makeFolder(pathOf(folder));
        return growing(synced(await disk.openWrite(pathOf(folder, name))), (work) => guard('written', work));
      }),
    replace: (folder, name, text) =>
      guard('written', async () => {
        await disk.makeFolder(pathOf(folder));
        const temporary = pathOf(folder, `${name}.${crypto.randomUUID()}`);
        try {
          await disk.writeText(temporary, text);
          await disk.rename(temporary, pathOf(folder, name));
        } catch (error) {
          await disk.remove(temporary).catch(() => undefined);
          throw error;
        }
      }),
    rename: (folder, from, to) =>
      guard('written', () => disk.rename(pathOf(folder, from), pathOf(folder, to))),
    delete: (folder, name) =>
      guard('cleared', () => disk.remove(name === undefined ? pathOf(folder) : pathOf(folder, name))),
    available: () => disk.free().catch(() => null),
    lock: (folder, { wait = true, signal } = {}) =>
      guard('locked', () => lock(disk, pathOf(`${folder}.lock`), wait, signal)),
  };
}

/** What is closed is on the disk. */
function synced(file: DiskFile): WritableFile {
  return {
    size: file.size,
    write: (bytes, at) => file.write(bytes, at),
    truncate: () => file.truncate(),
    async close() {
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

async function lock(
  disk: Disk,
  path: string,
  wait: boolean,
  signal: AbortSignal | undefined,
): Promise<(() => Promise<void>) | null> {
  const mine = `${disk.owner} ${crypto.randomUUID()}`;
  await disk.makeFolder(disk.root());
  while (!(await disk.createNew(path, mine))) {
    throwIfAborted(signal);
    if (await isDead(disk, path)) await breakLock(disk, path);
    else if (!wait) return null;
    else await sleep(PAUSE, signal);
  }
  const beat = setInterval(() => void disk.touch(path).catch(() => undefined), BEAT);
  return async () => {
    clearInterval(beat);
    // Somebody else's, when this process slept for so long that it seemed dead.
    if ((await textOf(disk, path)) === mine) await disk.remove(path);
  };
}

async function isDead(disk: Disk, path: string): Promise<boolean> {
  const text = await textOf(disk, path);
  if (text === null) return false;
  const owner = text.slice(0, text.lastIndexOf(' '));
  if (owner !== '' && disk.isDead(owner)) return true;
  const time = await disk.modified(path).catch(() => null);
  return time !== null && Date.now() - time > DEAD;
}

/** One process at a time looks again and removes a dead one's lock: else it may be the lock of who was faster. */
async function breakLock(disk: Disk, path: string): Promise<void> {
  const breaking = `${path}.break`;
  if (!(await disk.createNew(breaking, disk.owner))) {
    const time = await disk.modified(breaking).catch(() => null);
    if (time !== null && Date.now() - time > DEAD) await disk.remove(breaking);
    await sleep(PAUSE);
    return;
  }
  try {
    if (await isDead(disk, path)) await disk.remove(path);
  } finally {
    await disk.remove(breaking);
  }
}

/** `null` where there is none. */
async function textOf(disk: Disk, path: string): Promise<string | null> {
  try {
    return await disk.readText(path);
  } catch (error) {
    if (disk.explain(error) === 'missing') return null;
    throw error;
  }
}

/** The error of a store that could not do something: `CACHE_FULL` or `CACHE_UNAVAILABLE`. @param what as `written`. */
export function cacheError(what: string, reason: DiskProblem, cause: unknown): LoadError {
  if (reason === 'full') {
    return new LoadError({
      code: 'CACHE_FULL',
      message: 'There is no room left for downloaded models.',
      fix: 'Make room, or delete models that are not needed any more: cache.list() and cache.delete(name).',
      cause,
    });
  }
  if (reason === 'missing') {
    return new LoadError({
      code: 'MODEL_FILE_MISSING',
      message: `The cache of models can't be ${what}: there is no such file.`,
      fix: 'Load the model again: what is missing is downloaded.',
      cause,
    });
  }
  return new LoadError({
    code: 'CACHE_UNAVAILABLE',
    message: `The cache of models can't be ${what}.`,
    fix: reason.fix,
    cause,
  });
}
