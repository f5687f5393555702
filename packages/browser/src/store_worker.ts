/** A worker's side of writing files of OPFS. */
import { canWriteInPlace, openSync, type SyncFile } from './sync_file.ts';

export type Task =
  | { readonly kind: 'open'; readonly folder: string; readonly name: string }
  | { readonly kind: 'write'; readonly file: number; readonly bytes: Uint8Array; readonly at: number }
  | { readonly kind: 'truncate' | 'close'; readonly file: number };

export type Reply =
  /** Whether this browser's workers can write in place. */
  | { readonly kind: 'ready'; readonly usable: boolean }
  /** `id` and `size` are of the file. */
  | { readonly kind: 'done'; readonly task: number; readonly id: number; readonly size: number }
  | { readonly kind: 'failed'; readonly task: number; readonly name: string; readonly message: string };

/** Serves one worker; `Reply` `ready` comes first. */
export function serveStore(): void {
  self.addEventListener('message', ({ data }: MessageEvent<{ number: number; task: Task }>) => {
    const { number, task } = data;
    work(task).then(
      (file) => reply({ kind: 'done', task: number, ...file }),
      (error: unknown) => {
        const { name, message } = error instanceof Error ? error : new Error(String(error));
        reply({ kind: 'failed', task: number, name, message });
      },
    );
  });
  reply({ kind: 'ready', usable: canWriteInPlace() });
}

const files = new Map<number, SyncFile>();
let next = 0;

function reply(message: Reply): void {
  self.postMessage(message);
}

async function work(task: Task): Promise<{ id: number; size: number }> {
  if (task.kind === 'open') {
    const file = await openSync(task.folder, task.name);
    files.set(next, file);
    return { id: next++, size: file.size };
  }
  const file = files.get(task.file);
  if (!file) throw new Error(`no file ${task.file} is open`);
  switch (task.kind) {
    case 'write':
      file.write(task.bytes, task.at);
      break;
    case 'truncate':
      file.truncate();
      break;
    case 'close':
      files.delete(task.file);
      file.close();
  }
  return { id: task.file, size: 0 };
}
