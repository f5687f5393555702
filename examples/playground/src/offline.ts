/** The page's service worker: after the first visit everything comes from its cache. */
import { announce } from './announce.ts';
import { byId, on } from './dom.ts';

export async function setUpOffline(): Promise<void> {
  const line = byId('offline');
  if (!('serviceWorker' in navigator)) {
    line.textContent = 'This browser can’t keep the page for offline use.';
    return;
  }
  try {
    const registration = await navigator.serviceWorker.register('./sw.js');
    await navigator.serviceWorker.ready;
    line.textContent = 'Works offline';
    offerUpdate(registration);
  } catch {
    // A private window, or storage that is full: the page works, but not offline.
    line.textContent = 'Not kept for offline use';
  }
}

/** A newer version waits until the user wants it: a reload would lose the conversation. */
function offerUpdate(registration: ServiceWorkerRegistration): void {
  const button = byId('update');
  const offer = (): void => {
    if (!registration.waiting || !navigator.serviceWorker.controller) return;
    button.hidden = false;
    announce('A newer version of this page is ready.');
  };
  registration.addEventListener('updatefound', () => {
    registration.installing?.addEventListener('statechange', offer);
  });
  offer();
  on(button, 'click', () => {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    registration.waiting?.postMessage('take over');
  });
}
