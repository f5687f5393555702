/** With connections of its own: those of the global dispatcher may be the built-in's. */
let connections: Promise<{ fetch: typeof fetch; dispatcher: object }> | undefined;

/**
 * `fetch` of the npm package `undici`, which Node's own is an older release of: there, a connection that closes while its
 * reader is busy ends the whole process (nodejs/undici#5360). It is loaded with the first request.
 */
export const nodeFetch: typeof fetch = async (input, init) => {
  connections ??= import('undici').then(({ Agent, fetch }) => ({
    // The same by name and behaviour as the global one; TypeScript knows their classes twice.
    fetch: fetch as unknown as typeof globalThis.fetch,
    dispatcher: new Agent(),
  }));
  const { fetch, dispatcher } = await connections;
  return fetch(input, { ...init, dispatcher } as RequestInit);
};
