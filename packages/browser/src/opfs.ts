/** Downloaded models in the origin private file system. */
import { cacheError, growing, type ModelStore } from '@llava-sp/core';
import { folderOf, patiently, root } from './folders.ts';
import { available, lock, persist } from './origin.ts';
import type { Platform } from './platform.ts';
import { openReader } from './reader.ts';
import type { OpenWriter } from './writer.ts';

interface MovableFile extends FileSystemFileHandle {
  /** Not in TypeScript's library yet, and not in every browser. */
  move?(name: string): Promise<void>;
}

/** Wants a secure context; private windows may have none. */
export function createStore(platform: Platform): ModelStore {
  // Loaded with the first download.
  let writer: Promise<OpenWriter> | null = null;
  const openWriter: OpenWriter = async (folder, name) => {
    writer ??= import('./writer.ts').then(({ createWriter }) => createWriter(platform));
    return (await writer)(folder, name);
  };
  return {
    location: 'the storage of this page (OPFS)',
    async folders() {
      const names: string[] = [];
      await guard('listed', () =>
        orNothing(async () => {
          for await (const [name, { kind }] of (await root(false)).entries()) {
            if (kind === 'directory') names.push(name);
          }
        }),
      );
      return names;
    },
    async list(folder) {
      const sizes = new Map<string, number>();
      await guard('listed', () =>
        orNothing(async () => {
          for await (const [name, handle] of (await folderOf(folder)).entries()) {
            if (!isFile(handle)) continue;
            // One may go while the others are looked at.
            await orNothing(async () => void sizes.set(name, (await handle.getFile()).size));
          }
        }),
      );
      return sizes;
    },
    open: (folder, name) =>
      guard('read', async () => {
        return openReader(await (await folderOf(folder)).getFileHandle(name), name);
      }),
    append: (folder, name) =>
      guard('written', async () => growing(await openWriter(folder, name), (work) => guard('written', work))),
    replace: (folder, name, text) =>
      guard('written', async () => {
        const parent = await folderOf(folder, true);
        if (!('createWritable' in FileSystemFileHandle.prototype)) {
          const temporary = `${name}.new`;
          const file = await openWriter(folder, temporary);
          try {
            await file.truncate();
            await file.write(new TextEncoder().encode(text), 0);
          } finally {
            await file.close();
          }
          return move(parent, temporary, name);
        }
        const file = await parent.getFileHandle(name, { create: true });
        // What is written goes to a copy, which takes the file's place when it is closed.
        const stream = await file.createWritable();
        try {
          await stream.write(text);
        } catch (error) {
          await stream.abort().catch(() => undefined);
          throw error;
        }
        await stream.close();
      }),
    rename: (folder, from, to) => guard('written', async () => move(await folderOf(folder), from, to)),
    delete: (folder, name) =>
      guard('cleared', () =>
        orNothing(async () => {
          const parent = name === undefined ? await root(false) : await folderOf(folder);
          await patiently(() => parent.removeEntry(name ?? folder, { recursive: name === undefined }));
        }),
      ),
    available,
    persist,
    lock,
  };
}

async function move(parent: FileSystemDirectoryHandle, from: string, to: string): Promise<void> {
  const file: MovableFile = await parent.getFileHandle(from);
  await orNothing(() => parent.removeEntry(to));
  if (file.move) return file.move(to);
  const copy = await parent.getFileHandle(to, { create: true });
  await (await file.getFile()).stream().pipeTo(await copy.createWritable());
  await parent.removeEntry(from);
}

function isFile(handle: FileSystemHandle): handle is FileSystemFileHandle {
  return handle.kind === 'file';
}

/** Where there is nothing, nothing is to be done. */
async function orNothing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isNamed(error, 'NotFoundError')) throw error;
  }
}

async function guard<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw cacheError(what, reasonOf(error), error);
  }
}

function reasonOf(error: unknown): Parameters<typeof cacheError>[1] {
  if (isNamed(error, 'NotFoundError')) return 'missing';
  if (isNamed(error, 'QuotaExceededError')) return 'full';
  return { fix: 'Check that this page may keep data (a private window may not), and close its other tabs.' };
}

/** What a worker throws arrives as an error of the same name. */
function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
