import { ArgumentError, LoadError, throwIfAborted, untilAborted } from '../errors/index.ts';
import type { ByteSource, ModelFiles } from '../host.ts';
import type { FileSource } from './source.ts';

/**
 * A model folder out of Blobs, read where they are: nothing is copied ahead. Of files with paths, as a folder dialog gives,
 * those beside `config.json` count.
 *
 * @throws {ArgumentError} `OPTION_INVALID` when they are no Blobs, or two have one name.
 */
export function filesOfBlobs(source: FileSource): ModelFiles {
  const blobs = collect(source);
  const location = 'the given files';
  return {
    location,
    has: async (name) => blobs.has(name),
    async open(name) {
      const blob = blobs.get(name);
      if (blob) return sourceOf(blob, name);
      throw new LoadError({
        code: 'MODEL_FILE_MISSING',
        message: `${name} is not among the given files.`,
        fix: 'Pass all files of the model folder.',
      });
    },
  };
}

function collect(source: FileSource): ReadonlyMap<string, Blob> {
  const paths: [string, Blob][] = Array.isArray(source)
    ? (source as readonly File[]).map((file) => [pathOf(file), file])
    : [...(source instanceof Map ? (source as ReadonlyMap<string, Blob>) : Object.entries(source))];
  for (const [path, blob] of paths) {
    if (typeof path === 'string' && blob instanceof Blob) continue;
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: 'The model is a list of something that is not a File or Blob.',
      fix: 'Pass the files of a model folder, or Blobs by name.',
    });
  }
  const configs = paths.map(([path]) => path).filter((path) => /(^|\/)config\.json$/.test(path));
  const folder = configs.sort((a, b) => a.length - b.length)[0]?.slice(0, -'config.json'.length) ?? '';
  const blobs = new Map<string, Blob>();
  for (const [path, blob] of paths) {
    if (!path.startsWith(folder)) continue;
    const name = path.slice(folder.length);
    if (blobs.has(name)) {
      throw new ArgumentError({
        code: 'OPTION_INVALID',
        message: `Two of the given files are called ${name.slice(0, 100)}.`,
        fix: 'Pass the files of one folder.',
      });
    }
    blobs.set(name, blob);
  }
  return blobs;
}

function pathOf(file: File): string {
  // Of folder dialogs; nothing sets it elsewhere.
  const { webkitRelativePath: path } = file as File & { webkitRelativePath?: string };
  return path || file.name;
}

/** A Blob as bytes of a file. @param name for messages. */
export function sourceOf(blob: Blob, name: string): ByteSource {
  return {
    size: blob.size,
    async read(begin, end, signal) {
      throwIfAborted(signal);
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await untilAborted(blob.slice(begin, end).arrayBuffer(), signal));
      } catch (cause) {
        throwIfAborted(signal);
        throw unreadable(name, 'reading failed', cause);
      }
      if (bytes.length === end - begin) return bytes;
      throw unreadable(name, `it has ${blob.size} bytes, and not ${begin} to ${end}`);
    },
    close: () => Promise.resolve(),
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
