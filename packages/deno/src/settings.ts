import type { Settings } from '@llava-sp/core';

const PREFIX = 'llava-sp:';

/** Settings in Deno's `localStorage`: it needs no permission, and belongs to the application that runs. */
export const localSettings: Settings = {
  async get(key) {
    try {
      return localStorage.getItem(PREFIX + key);
    } catch {
      return null;
    }
  },
  async set(key, value) {
    try {
      localStorage.setItem(PREFIX + key, value);
    } catch {
      // There is none in a worker, or nothing can be written.
    }
  },
};
