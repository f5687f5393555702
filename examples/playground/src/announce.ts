/** The page's one live region: whole sentences, seldom, never the pieces of an answer. */
import { byId } from './dom.ts';

let timer: ReturnType<typeof setTimeout> | undefined;

/** Says a sentence to screen readers; of several in a row, the last. */
export function announce(sentence: string): void {
  clearTimeout(timer);
  timer = setTimeout(() => (byId('status').textContent = sentence), 250);
}
