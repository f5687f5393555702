import { blobSource, cacheError, growing, type ModelStore } from '@llava-sp/core';

/**
 * A store that lasts as long as the model: Blobs, which browsers put on disk when they are large. For where the origin's file
 * system is full or can't be used.
 */
export function memoryStore(): ModelStore {
  /** In the pieces that they came in. */
  const folders = new Map<string, Map<string, Blob[]>>();
  const filesOf = (folder: string): Map<string, Blob[]> => {
    const found = folders.get(folder) ?? new Map<string, Blob[]>();
    folders.set(folder, found);
    return found;
  };
  return {
    location: 'the memory of this page',
    folders: async () => [...folders.keys()],
    list: async (folder) => new Map([...filesOf(folder)].map(([name, pieces]) => [name, sizeOf(pieces)])),
    async open(folder, name) {
      const pieces = filesOf(folder).get(name);
      if (!pieces) throw cacheError('read', 'missing', undefined);
      return blobSource(new Blob(pieces), name);
    },
    async append(folder, name) {
      const files = filesOf(folder);
      const pieces = files.get(name) ?? [];
      files.set(name, pieces);
      const file = {
        size: sizeOf(pieces),
        // What comes only ever comes at the end.
        write: async (bytes: Uint8Array) => void pieces.push(new Blob([new Uint8Array(bytes)])),
        truncate: async () => void (pieces.length = 0),
        close: async () => undefined,
      };
      return growing(file, (work) => work());
    },
    replace: async (folder, name, text) => void filesOf(folder).set(name, [new Blob([text])]),
    async rename(folder, from, to) {
      const files = filesOf(folder);
      const pieces = files.get(from);
      if (!pieces) throw cacheError('written', 'missing', undefined);
      files.delete(from);
      files.set(to, pieces);
    },
    async delete(folder, name) {
      if (name === undefined) folders.delete(folder);
      else filesOf(folder).delete(name);
    },
    available: () => Promise.resolve(null),
    // Nobody else can reach it.
    lock: async () => async () => undefined,
  };
}

function sizeOf(pieces: readonly Blob[]): number {
  return pieces.reduce((sum, { size }) => sum + size, 0);
}
