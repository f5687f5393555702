import type { Settings } from '../../packages/core/src/host.ts';

/** Settings that end with the host. */
export function memorySettings(): Settings {
  const values = new Map<string, string>();
  return {
    get: async (key) => values.get(key) ?? null,
    set: async (key, value) => void values.set(key, value),
  };
}
