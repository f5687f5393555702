import { open, stat, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AbortedError, LoadError, UnsupportedError, type ByteSource, type ModelFiles } from '@llava-sp/core';

/** A model folder on disk. */
export async function openFolder(source: string | URL): Promise<ModelFiles> {
  const folder = resolve(toPath(source));
  const found = await stat(folder).catch(() => null);
  if (!found?.isDirectory()) {
    throw new LoadError({
      code: 'MODEL_NOT_FOUND',
      message: `There is no model folder at ${folder}.`,
      fix: 'Pass the path of a folder that holds config.json, tokenizer.json and model.safetensors.',
    });
  }
  return {
    location: folder,
    has: async (name) => (await stat(join(folder, name)).catch(() => null))?.isFile() ?? false,
    open: (name) => openFile(folder, name),
  };
}

/** A path, or a file: URL as text or object. */
export function toPath(source: string | URL): string {
  const text = String(source);
  if (text.startsWith('file:')) return fromFileUrl(text);
  if (source instanceof URL) {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `Models can't be loaded from ${source.protocol} addresses.`,
      fix: 'Pass a path, or a file, http or https URL.',
    });
  }
  return text;
}

function fromFileUrl(address: string): string {
  try {
    return fileURLToPath(address);
  } catch (cause) {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `${address.slice(0, 200)} names no file of this machine.`,
      fix: 'Pass a path, or a file: URL without a host, as file:///folder/model.',
      cause,
    });
  }
}

export async function openFile(folder: string, name: string): Promise<ByteSource> {
  const path = join(folder, name);
  let handle: FileHandle;
  try {
    handle = await open(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new LoadError({
      code: missing ? 'MODEL_FILE_MISSING' : 'FILE_UNREADABLE',
      message: missing ? `The model folder ${folder} lacks ${name}.` : `${path} can't be opened.`,
      fix: missing ? 'Download or convert the model again.' : 'Check the permissions of the file.',
      cause,
    });
  }
  const { size } = await handle.stat();
  return {
    size,
    async read(begin, end, signal) {
      if (signal?.aborted) throw new AbortedError(signal.reason);
      // All of it is overwritten: it need not be zeroed first.
      const bytes = new Uint8Array(Buffer.allocUnsafeSlow(end - begin).buffer);
      let filled = 0;
      try {
        while (filled < bytes.length) {
          const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, begin + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
      } catch (cause) {
        throw unreadable(path, 'reading failed', cause);
      }
      if (filled < bytes.length)
        throw unreadable(path, `it ends at byte ${begin + filled}, before byte ${end}`);
      return bytes;
    },
    close: () => handle.close(),
  };
}

function unreadable(path: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message: `${path} can't be read: ${what}.`,
    fix: 'Check that the file is whole and not being written, and try again.',
    cause,
  });
}
