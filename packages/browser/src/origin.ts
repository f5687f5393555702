/** What an origin has besides files: a quota, persistence, locks between its tabs. */
import { AbortedError, type ModelStore } from '@llava-sp/core';

export async function available(): Promise<number | null> {
  const { quota, usage } = await navigator.storage.estimate();
  return quota === undefined || usage === undefined ? null : Math.max(quota - usage, 0);
}

export async function persist(): Promise<boolean> {
  // Pages alone may ask; a worker goes without.
  const storage: StorageManager & { persist?(): Promise<boolean> } = navigator.storage;
  return (await storage.persisted()) || (storage.persist?.() ?? false);
}

/** A tab that is closed lets go of its locks by itself. */
export const lock: ModelStore['lock'] = (folder, { wait = true, signal } = {}) =>
  new Promise((resolve, reject) => {
    const options = wait ? { signal } : { ifAvailable: true };
    navigator.locks
      .request(`llava-sp/models/${folder}`, options, (held) => {
        if (!held) return resolve(null);
        return new Promise<void>((release) => resolve(async () => release()));
      })
      .catch((error: Error) => reject(signal?.aborted ? new AbortedError(signal.reason) : error));
  });
