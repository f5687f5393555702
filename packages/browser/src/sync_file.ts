/** A file of the origin private file system (OPFS), written in place: in workers alone. */
import { folderOf, patiently } from './folders.ts';

export interface SyncFile {
  readonly size: number;
  write(bytes: Uint8Array, at: number): void;
  truncate(): void;
  /** Flushes, too. */
  close(): void;
}

/** What only the libraries for workers know of a file. */
interface WorkerFile {
  createSyncAccessHandle(): Promise<{
    getSize(): number;
    /** Bytes written. */
    write(bytes: Uint8Array, options: { at: number }): number;
    truncate(size: number): void;
    flush(): void;
    close(): void;
  }>;
}

/** Whether files can be written in place here: not in pages and service workers, nor in every browser's workers. */
export function canWriteInPlace(): boolean {
  return (
    typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype
  );
}

export async function openSync(folder: string, name: string): Promise<SyncFile> {
  const parent = await folderOf(folder, true);
  const file = (await parent.getFileHandle(name, { create: true })) as unknown as WorkerFile;
  const handle = await patiently(() => file.createSyncAccessHandle());
  return {
    size: handle.getSize(),
    write(bytes, at) {
      for (let done = 0; done < bytes.length;) {
        const written = handle.write(bytes.subarray(done), { at: at + done });
        // Chromium writes less, and not an error, where the quota ends.
        if (written === 0) throw new DOMException('nothing more can be written', 'QuotaExceededError');
        done += written;
      }
    },
    truncate: () => handle.truncate(0),
    close() {
      handle.flush();
      handle.close();
    },
  };
}
