/**
 * A model in a worker of the application's own, beside other work that it does there.
 *
 * By default `load` starts a worker by itself, and this is not needed; `thread: 'page'` keeps the model in the thread that loads
 * it, which here is this worker.
 */
import { load } from './llava-sp.js';

const loading = load(new URL('model/', import.meta.url), { thread: 'page' });
loading.then(
  ({ info }) => postMessage({ ready: `${info.name} on ${info.backend.name}` }),
  ({ message, fix }) => postMessage({ error: `${message} ${fix ?? ''}` }),
);

/** What stops a question that is under way, by the caller's number; it may be stopped before the model is there. */
const stops = new Map();

addEventListener('message', async ({ data: { id, picture, question, cancel } }) => {
  if (cancel) return stops.get(id)?.abort();
  const stop = new AbortController();
  stops.set(id, stop);
  try {
    const model = await loading;
    const answer = model.ask(picture, question);
    stop.signal.onabort = () => answer.cancel();
    if (stop.signal.aborted) answer.cancel();
    for await (const piece of answer) postMessage({ id, piece });
    postMessage({ id, done: answer.finishReason });
  } catch ({ message, fix }) {
    postMessage({ id, error: `${message} ${fix ?? ''}` });
  } finally {
    stops.delete(id);
  }
});
