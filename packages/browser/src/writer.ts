/** Writes files of OPFS in place: by a worker, for only there it can be done without a copy of what was there before. */
import type { WritableFile } from '@llava-sp/core';
import { folderOf } from './folders.ts';
import type { Reply, Task } from './store_worker.ts';

export async function openWriter(folder: string, name: string): Promise<WritableFile> {
  const worker = (current ??= startWorker());
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
}

interface StoreWorker {
  /** Whether it started: a page's policy may forbid it. */
  readonly ready: Promise<boolean>;
  ask(task: Task): Promise<{ id: number; size: number }>;
  end(): void;
}

/** One for all files, while there are any. */
let current: StoreWorker | null = null;
let users = 0;

function leave(worker: StoreWorker): void {
  if (--users > 0) return;
  worker.end();
  current = null;
}

function startWorker(): StoreWorker {
  const waiting = new Map<
    number,
    { resolve: (reply: { id: number; size: number }) => void; reject: (error: unknown) => void }
  >();
  let worker: Worker;
  try {
    worker = new Worker(new URL('./store_worker.js', import.meta.url), {
      type: 'module',
      name: 'llava-sp-store',
    });
  } catch {
    return {
      ready: Promise.resolve(false),
      ask: () => Promise.reject(new Error('no worker')),
      end: () => undefined,
    };
  }
  let next = 0;
  const ready = new Promise<boolean>((resolve) => {
    worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
      if (data.kind === 'ready') return resolve(data.usable);
      const asked = waiting.get(data.task);
      waiting.delete(data.task);
      if (data.kind === 'done') asked?.resolve(data);
      else asked?.reject(new DOMException(data.message, data.name));
    });
    worker.addEventListener('error', ({ message }) => {
      resolve(false);
      for (const { reject } of waiting.values()) reject(new Error(`the worker failed: ${message}`));
      waiting.clear();
    });
  });
  return {
    ready,
    ask: (task) =>
      new Promise((resolve, reject) => {
        const number = next++;
        waiting.set(number, { resolve, reject });
        worker.postMessage({ number, task });
      }),
    end: () => worker.terminate(),
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
