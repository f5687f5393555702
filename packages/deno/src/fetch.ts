import { LoadError } from '@llava-sp/core';

/** `fetch`, whose error for a permission that is missing names it: nothing is tried again in vain. */
export const denoFetch: typeof fetch = async (input, init) => {
  try {
    return await fetch(input, init);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotCapable)) throw cause;
    const { origin, host } = new URL(input instanceof Request ? input.url : input);
    throw new LoadError({
      code: 'FILE_UNREADABLE',
      message: `Deno may not ask ${origin}.`,
      fix: `Run it with --allow-net=${host}.`,
      cause,
    });
  }
};
