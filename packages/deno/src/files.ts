import { AbortedError, LoadError, UnsupportedError, type ByteSource, type ModelFiles } from '@llava-sp/core';

/** A model folder on disk. */
export async function openFolder(source: string | URL): Promise<ModelFiles> {
  const folder = toPath(source);
  const found = await statOf(folder);
  if (!found?.isDirectory) {
    throw new LoadError({
      code: 'MODEL_NOT_FOUND',
      message: `There is no model folder at ${shown(folder)}.`,
      fix: 'Pass the path of a folder that holds config.json, tokenizer.json and model.safetensors.',
    });
  }
  return {
    location: shown(folder),
    has: async (name) => (await statOf(inside(folder, name)))?.isFile ?? false,
    open: (name) => openPath(inside(folder, name), `The model folder ${shown(folder)} lacks ${name}.`),
  };
}

/** A path as it is; a file: URL, as text or object, as a URL: Deno takes both. */
export function toPath(source: string | URL): string | URL {
  const text = String(source);
  if (text.startsWith('file:')) return fileUrl(text);
  if (source instanceof URL) {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `Models can't be loaded from ${source.protocol} addresses.`,
      fix: 'Pass a path, or a file, http or https URL.',
    });
  }
  return text;
}

function fileUrl(address: string): URL {
  try {
    const url = new URL(address);
    if (url.host !== '') throw new TypeError('it names a host');
    decodeURIComponent(url.pathname);
    return url;
  } catch (cause) {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `${address.slice(0, 200)} names no file of this machine.`,
      fix: 'Pass a path, or a file: URL without a host, as file:///folder/model.',
      cause,
    });
  }
}

function inside(folder: string | URL, name: string): string | URL {
  if (typeof folder === 'string') return `${folder}/${name}`;
  const base = new URL(folder);
  base.pathname += base.pathname.endsWith('/') ? '' : '/';
  return new URL(name, base);
}

function shown(path: string | URL): string {
  return typeof path === 'string' ? path : decodeURIComponent(path.pathname);
}

/** `null` where there is nothing. */
async function statOf(path: string | URL): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw notPermitted(path, cause);
    return null;
  }
}

/** @param absent says that there is no such file. */
export async function openPath(
  path: string | URL,
  absent = `There is no file ${shown(path)}.`,
): Promise<ByteSource> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw notPermitted(path, cause);
    const missing = cause instanceof Deno.errors.NotFound;
    throw new LoadError({
      code: missing ? 'MODEL_FILE_MISSING' : 'FILE_UNREADABLE',
      message: missing ? absent : `${shown(path)} can't be opened.`,
      fix: missing ? 'Download or convert the model again.' : 'Check the permissions of the file.',
      cause,
    });
  }
  const { size } = await file.stat();
  // A file has one position, so reads take turns.
  let last: Promise<unknown> = Promise.resolve();
  return {
    size,
    read(begin, end, signal) {
      const read = last.then(() => readRange(file, path, begin, end, signal));
      last = read.catch(() => undefined);
      return read;
    },
    async close() {
      await last;
      file.close();
    },
  };
}

async function readRange(
  file: Deno.FsFile,
  path: string | URL,
  begin: number,
  end: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (signal?.aborted) throw new AbortedError(signal.reason);
  const bytes = new Uint8Array(end - begin);
  let filled = 0;
  try {
    await file.seek(begin, Deno.SeekMode.Start);
    while (filled < bytes.length) {
      const count = await file.read(bytes.subarray(filled));
      if (!count) break;
      filled += count;
    }
  } catch (cause) {
    throw unreadable(path, 'reading failed', cause);
  }
  if (filled < bytes.length) {
    throw unreadable(path, `it ends at byte ${begin + filled}, before byte ${end}`);
  }
  return bytes;
}

function unreadable(path: string | URL, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message: `${shown(path)} can't be read: ${what}.`,
    fix: 'Check that the file is whole and not being written, and try again.',
    cause,
  });
}

/** The error for a path that the process was given no permission for. */
export function notPermitted(path: string | URL, cause: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message: `Deno may not read ${shown(path)}.`,
    fix: `Run it with --allow-read=${shown(path)} or a folder above.`,
    cause,
  });
}
