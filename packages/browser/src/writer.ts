/** Writes files of OPFS in place: in a worker, for only there it can be done without a copy of what was there before. */
import type { WritableFile } from '@llava-sp/core';
import { folderOf } from './folders.ts';
import type { Platform } from './platform.ts';
import type { Reply, Task } from './store_worker.ts';
import { canWriteInPlace, openSync } from './sync_file.ts';
import { baseAddress, hasWorkers, openWorker } from './workers.ts';

/** Opens a file for writing, and makes it where there is none. */
export type OpenWriter = (folder: string, name: string) => Promise<WritableFile>;

export function createWriter(platform: Platform): OpenWriter {
  /** One for all files, while there are any. */
  let current: StoreWorker | null = null;
  let users = 0;
  const leave = (worker: StoreWorker): void => {
    if (--users > 0) return;
    worker.end();
    current = null;
  };
  return async (folder, name) => {
    if (canWriteInPlace()) return openHere(folder, name);
    if (!hasWorkers()) return openCopy(folder, name);
    const worker = (current ??= startWorker(platform));
    users++;
    try {
      if (await worker.ready) {
        const file = await worker.ask({ kind: 'open', folder, name });
        return {
          size: file.size,
          write: async (bytes, at) => void (await worker.ask({ kind: 'write', file: file.id, bytes, at })),
          truncate: async () => void (await worker.ask({ kind: 'truncate', file: file.id })),
          close: async () => {
            try {
              await worker.ask({ kind: 'close', file: file.id });
            } finally {
              leave(worker);
            }
          },
        };
      }
    } catch (error) {
      leave(worker);
      throw error;
    }
    leave(worker);
    return openCopy(folder, name);
  };
}

interface StoreWorker {
  /** Whether it started, and writes in place: a page's policy may forbid it. */
  readonly ready: Promise<boolean>;
  ask(task: Task): Promise<{ id: number; size: number }>;
  end(): void;
}

function startWorker(platform: Platform): StoreWorker {
  const waiting = new Map<
    number,
    { resolve: (reply: { id: number; size: number }) => void; reject: (error: unknown) => void }
  >();
  let worker: ReturnType<typeof openWorker>;
  try {
    worker = openWorker(platform, { role: 'store', base: baseAddress() });
  } catch {
    return {
      ready: Promise.resolve(false),
      ask: () => Promise.reject(new Error('no worker')),
      end: () => undefined,
    };
  }
  let next = 0;
  const ready = new Promise<boolean>((resolve) => {
    worker.onMessage((message) => {
      const reply = message as Reply;
      if (reply.kind === 'ready') return resolve(reply.usable);
      const asked = waiting.get(reply.task);
      waiting.delete(reply.task);
      if (reply.kind === 'done') asked?.resolve(reply);
      else asked?.reject(new DOMException(reply.message, reply.name));
    });
    worker.onError((error) => {
      resolve(false);
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    });
  });
  return {
    ready,
    ask: (task) =>
      new Promise((resolve, reject) => {
        const number = next++;
        waiting.set(number, { resolve, reject });
        worker.post({ number, task });
      }),
    end: () => void worker.terminate(),
  };
}

/** In this very worker. */
async function openHere(folder: string, name: string): Promise<WritableFile> {
  const file = await openSync(folder, name);
  return {
    size: file.size,
    write: async (bytes, at) => file.write(bytes, at),
    truncate: async () => file.truncate(),
    close: async () => file.close(),
  };
}

/** Without a worker: what is written is there once it is closed, and not when the page dies before. */
async function openCopy(folder: string, name: string): Promise<WritableFile> {
  const file = await (await folderOf(folder, true)).getFileHandle(name, { create: true });
  const { size } = await file.getFile();
  const stream = await file.createWritable({ keepExistingData: true });
  return {
    size,
    write: (bytes, position) => stream.write({ type: 'write', data: new Uint8Array(bytes), position }),
    truncate: () => stream.truncate(0),
    close: () => stream.close(),
  };
}
