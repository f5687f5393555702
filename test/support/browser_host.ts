/**
 * The browser's host for tests: models come from the server that `openChromium` starts, and nothing is kept. It runs in the page.
 */
import { browserHost as adapter } from '../../packages/browser/src/index.ts';
import { LoadError } from '../../packages/core/src/errors/index.ts';
import type { ByteSource, Host, ModelFiles } from '../../packages/core/src/host.ts';
import { memorySettings } from './memory_settings.ts';

export const browserHost: Host = {
  ...adapter,
  openModel: async (source) => openFolder(String(source)),
  settings: memorySettings(),
};

async function bytesOf(path: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(path, { signal });
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function openFolder(folder: string): ModelFiles {
  const pathOf = (name: string): string => `${folder.replace(/\/$/, '')}/${name}`;
  const has = async (name: string): Promise<boolean> => (await fetch(pathOf(name), { method: 'HEAD' })).ok;
  return {
    location: folder,
    has,
    async open(name): Promise<ByteSource> {
      if (!(await has(name))) {
        throw new LoadError({
          code: 'MODEL_FILE_MISSING',
          message: `The model folder ${folder} lacks ${name}.`,
          fix: 'Serve it.',
        });
      }
      const bytes = await bytesOf(pathOf(name));
      return {
        size: bytes.length,
        read: async (begin, end) => bytes.slice(begin, end),
        close: () => Promise.resolve(),
      };
    },
  };
}
