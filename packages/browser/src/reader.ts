/** Reads files of OPFS: in place where this is a worker whose browser lets several read one file at once, else by Blobs. */
import { AbortedError, blobSource, LoadError, type ByteSource } from '@llava-sp/core';

/** What only the libraries for workers know, and of that not all. */
interface Handle {
  getSize(): number;
  read(bytes: Uint8Array, options: { at: number }): number;
  close(): void;
}

interface WorkerFile {
  createSyncAccessHandle?(options: { mode: 'read-only' }): Promise<Handle>;
}

/** @param name for messages. */
export async function openReader(file: FileSystemFileHandle, name: string): Promise<ByteSource> {
  const handle = await openShared(file);
  return handle ? inPlace(handle, name) : blobSource(await file.getFile(), name);
}

/** `null` where a handle would keep other readers out, or somebody writes. */
async function openShared(file: WorkerFile): Promise<Handle | null> {
  const { FileSystemSyncAccessHandle: type } = globalThis as {
    FileSystemSyncAccessHandle?: { prototype: object };
  };
  if (!file.createSyncAccessHandle || !type || !('mode' in type.prototype)) return null;
  try {
    return await file.createSyncAccessHandle({ mode: 'read-only' });
  } catch {
    // Reading by a Blob says what is wrong, if anything is.
    return null;
  }
}

function inPlace(handle: Handle, name: string): ByteSource {
  const size = handle.getSize();
  let open = true;
  return {
    size,
    async read(begin, end, signal) {
      if (signal?.aborted) throw new AbortedError(signal.reason);
      const bytes = new Uint8Array(end - begin);
      let filled = 0;
      try {
        while (filled < bytes.length) {
          const count = handle.read(bytes.subarray(filled), { at: begin + filled });
          if (count === 0) break;
          filled += count;
        }
      } catch (cause) {
        throw unreadable(name, 'reading failed', cause);
      }
      if (filled === bytes.length) return bytes;
      throw unreadable(name, `it has ${size} bytes, and not ${begin} to ${end}`);
    },
    async close() {
      if (open) handle.close();
      open = false;
    },
  };
}

function unreadable(name: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message: `${name} can't be read: ${what}.`,
    fix: 'Check that the file is still there and not being written, and try again.',
    cause,
  });
}
