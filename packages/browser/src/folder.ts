import { filesOfUrls, type ModelFiles } from '@llava-sp/core';

/** A folder that is not behind http, as one of an extension: its files are fetched when they are asked for, and not kept. */
export function openFolder(address: URL, signal?: AbortSignal): ModelFiles {
  const base = new URL(address);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return {
    location: base.href,
    async has(name) {
      try {
        const response = await fetch(new URL(name, base), { signal });
        await response.body?.cancel();
        return response.ok;
      } catch {
        // Browsers say so of files that are not there.
        return false;
      }
    },
    open: (name) => filesOfUrls({}, { [name]: new URL(name, base) }, { signal }).open(name),
  };
}
