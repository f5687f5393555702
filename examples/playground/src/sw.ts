/**
 * Keeps the whole page for offline use: app, kernels, decoders, demo model. The build fills in the list of files, and a
 * version made of their contents; each version has a cache of its own, so that files of two versions never mix.
 */

/** What a service worker has; TypeScript's own types of it exclude those of pages. */
interface ServiceWorkerScope extends EventTarget {
  readonly clients: { claim(): Promise<void> };
  readonly registration: { readonly scope: string };
  skipWaiting(): Promise<void>;
}
interface WaitingEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchLikeEvent extends WaitingEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

declare const __VERSION__: string;
declare const __FILES__: readonly string[];

const scope = self as unknown as ServiceWorkerScope;
const PREFIX = 'playground ';
const NAME = `${PREFIX}${__VERSION__}`;

const hears = <E extends Event>(type: string, listener: (event: E) => void): void =>
  scope.addEventListener(type, listener as (event: Event) => void);

hears<WaitingEvent>('install', (event) => event.waitUntil(install()));
hears<WaitingEvent>('activate', (event) => event.waitUntil(activate()));
hears<MessageEvent<unknown>>('message', ({ data }) => {
  if (data === 'take over') void scope.skipWaiting();
});
hears<FetchLikeEvent>('fetch', (event) => {
  const { method, url } = event.request;
  // Models from elsewhere are the SDK's to keep.
  if (method === 'GET' && url.startsWith(scope.registration.scope)) event.respondWith(answer(event.request));
});

async function install(): Promise<void> {
  const cache = await caches.open(NAME);
  // Past the browser's own cache, which may have files of another version.
  await cache.addAll(__FILES__.map((file) => new Request(file, { cache: 'no-cache' })));
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
  }
  await scope.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(NAME);
  const page = request.mode === 'navigate' ? './' : request;
  const known = await cache.match(page, { ignoreSearch: request.mode === 'navigate' });
  return known ?? fetch(request);
}
