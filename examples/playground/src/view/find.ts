/** Finding things by phrases: boxes as they come. */
import { announce } from '../announce.ts';
import { mark, placeOf } from '../boxes.ts';
import { byId, el, on } from '../dom.ts';
import { busy, lastRun, marks, picture, type Mark } from '../state.ts';
import { stop, task } from '../task.ts';
import { afterChanges } from './live.ts';

/** What was looked for last. */
let last: readonly string[] = [];

export function setUpFind(): void {
  on(byId<HTMLFormElement>('find-form'), 'submit', (event) => {
    event.preventDefault();
    const phrases = byId<HTMLTextAreaElement>('phrases')
      .value.split(/[\n,;]/)
      .map((phrase) => phrase.trim())
      .filter(Boolean);
    if (phrases.length > 0 && !busy.value) return find([...new Set(phrases)]);
  });
  on(byId('find-stop'), 'click', () => {
    stop();
    byId('phrases').focus();
  });
  busy.watch((now) => {
    byId('find-stop').hidden = !now;
    byId('find').hidden = now !== null;
  });
  afterChanges('find', 'finding', () => {
    if (last.length > 0) return find(last);
  });
  // What was found before is not in the picture of now.
  picture.watch(() => byId('found').replaceChildren());
}

async function find(phrases: readonly string[]): Promise<void> {
  last = phrases;
  const of = picture.value;
  const list = byId('found');
  const found: Mark[] = [];
  const lines: string[] = [];
  list.replaceChildren();
  marks.set([]);
  const began = performance.now();
  const end = await task('finding', async (model, signal) => {
    for await (const { x1, y1, x2, y2, score, text } of model.ground(of.input(), phrases, { signal })) {
      if (of !== picture.value) continue;
      const one = mark([x1, y1, x2, y2], text, phrases.indexOf(text));
      found.push(one);
      marks.set([...found]);
      const place = placeOf(one.box, of.width, of.height);
      list.append(line(one.colour, text, place, score.toFixed(2)));
      lines.push(`${text}, ${place}`);
    }
  });
  if (end !== 'done' || of !== picture.value) return;
  const many = phrases.length === 1 ? 'one phrase' : `${phrases.length} phrases`;
  lastRun.set({ name: `Finding ${many}`, total: performance.now() - began });
  for (const phrase of phrases) {
    if (found.some(({ label }) => label === phrase)) continue;
    list.append(line(null, phrase, 'not there', ''));
    lines.push(`${phrase}, not there`);
  }
  announce(`Found: ${lines.join('; ')}.`);
}

function line(colour: number | null, phrase: string, place: string, score: string): HTMLElement {
  return el(
    'li',
    { className: colour === null ? 'found absent' : `found colour-${colour}` },
    el('span', { className: 'key', 'aria-hidden': 'true' }),
    el('span', { className: 'phrase' }, phrase),
    el('span', { className: 'place' }, place),
    el('span', { className: 'score', title: 'Mean probability of the coordinates' }, score),
  );
}
