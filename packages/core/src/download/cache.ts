import { LoadError } from '../errors/index.ts';
import type { ModelStore } from '../host.ts';

/** A downloaded model. */
export interface CachedModel {
  /** As `owner/name@revision`, or the address of its folder. */
  readonly name: string;
  /** Of all its files, in bytes. */
  readonly bytes: number;
  /** Whether it can be loaded without the network; else the next load goes on with its download. */
  readonly complete: boolean;
}

/** The models that were downloaded, all applications of this user (in browsers: of this origin) together. */
export interface ModelCache {
  /** For people: the folder, or the browser's storage. */
  readonly location: string;
  /** All models, by name. */
  list(): Promise<readonly CachedModel[]>;
  /** In bytes. */
  size(): Promise<number>;
  /**
   * Deletes a model by its name in `list`, or `all`, and says how many bytes came free. Models that are loaded go on.
   *
   * @throws {LoadError} `MODEL_NOT_FOUND`; `CACHE_BUSY` while it is being downloaded.
   */
  delete(name: string): Promise<number>;
}

/** The downloaded models of a store, that of the runtime's host. */
export function createCache(store: ModelStore): ModelCache {
  const sizeOf = async (folder: string): Promise<number> =>
    [...(await store.list(folder)).values()].reduce((sum, size) => sum + size, 0);
  // Who only asks models pays for none of it.
  const entries = () => import('./entry.ts');
  const list = async (): Promise<CachedModel[]> => {
    const { describeFolder } = await entries();
    const models: CachedModel[] = [];
    for (const folder of await store.folders()) {
      const known = await describeFolder(store, folder);
      if (known) models.push({ ...known, bytes: await sizeOf(folder) });
    }
    return models.sort((a, b) => (a.name < b.name ? -1 : 1));
  };
  const remove = async (name: string): Promise<number> => {
    const { folderOf } = await entries();
    const folder = folderOf(name);
    const release = await store.lock(folder, { wait: false });
    if (!release) {
      throw new LoadError({
        code: 'CACHE_BUSY',
        message: `${name} is being downloaded.`,
        fix: 'Abort the download, or wait for its end.',
      });
    }
    try {
      const bytes = await sizeOf(folder);
      await store.delete(folder);
      return bytes;
    } finally {
      await release();
    }
  };
  return {
    // Asked when it is: a runtime may not be allowed to tell.
    get location() {
      return store.location;
    },
    list,
    size: async () => (await list()).reduce((sum, { bytes }) => sum + bytes, 0),
    async delete(name) {
      const models = await list();
      if (name === 'all') {
        let bytes = 0;
        for (const model of models) bytes += await remove(model.name);
        return bytes;
      }
      if (models.some((model) => model.name === name)) return remove(name);
      throw new LoadError({
        code: 'MODEL_NOT_FOUND',
        message: `The cache has no model ${name.slice(0, 200)}.`,
        fix: 'Take a name that cache.list() gives.',
      });
    },
  };
}
