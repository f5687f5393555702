import type { GrowingFile } from '../host.ts';

/** A file opened for writing. */
export interface WritableFile {
  /** In bytes, when it was opened. */
  readonly size: number;
  /** All of the bytes, at a place of the file. */
  write(bytes: Uint8Array, at: number): Promise<void>;
  /** Empties it. */
  truncate(): Promise<void>;
  /** Releases the file. */
  close(): Promise<void>;
}

/** A file that grows at its end. `guard` turns what the platform throws into errors of the cache. */
export function growing(file: WritableFile, guard: <T>(work: () => Promise<T>) => Promise<T>): GrowingFile {
  let { size } = file;
  let closed = false;
  return {
    get size() {
      return size;
    },
    async write(bytes) {
      // At its place, not at the end: who was thought dead and writes on writes the same bytes.
      await guard(() => file.write(bytes, size));
      size += bytes.length;
    },
    async reset() {
      await guard(() => file.truncate());
      size = 0;
    },
    async close() {
      if (closed) return;
      closed = true;
      await guard(() => file.close());
    },
  };
}
