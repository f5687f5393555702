/** Short texts that last between visits, in IndexedDB: pages, workers and service workers all have it. */
import type { Settings } from '@llava-sp/core';

const DATABASE = 'llava-sp';
const TABLE = 'settings';

let opening: Promise<IDBDatabase> | null = null;
/** Where nothing can be kept, as in some private windows: until this page or worker ends. */
const kept = new Map<string, string>();

export const databaseSettings: Settings = {
  async get(key) {
    try {
      const value: unknown = await ask('readonly', (table) => table.get(key));
      return typeof value === 'string' ? value : (kept.get(key) ?? null);
    } catch {
      return kept.get(key) ?? null;
    }
  },
  async set(key, value) {
    kept.set(key, value);
    await ask('readwrite', (table) => table.put(value, key)).catch(() => undefined);
  },
};

async function ask<T>(mode: IDBTransactionMode, work: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  opening ??= open();
  try {
    const database = await opening;
    return await settled(work(database.transaction(TABLE, mode).objectStore(TABLE)));
  } catch (error) {
    // The browser may have closed it, as when the user clears the site's data.
    opening = null;
    throw error;
  }
}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
  const database = await settled(request);
  database.onversionchange = () => database.close();
  return database;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });
}
