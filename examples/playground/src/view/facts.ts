/** What ran, how long it took, and why it was chosen; and what went wrong. */
import type { Model } from 'llava-sp';
import { byId, el, on } from '../dom.ts';
import { bytes, milliseconds } from '../format.ts';
import { failure, lastRun, modelState, type Run } from '../state.ts';

export function setUpFacts(): void {
  lastRun.watch(showRun);
  modelState.watch((now) => {
    byId('device').hidden = now.kind !== 'ready';
    if (now.kind === 'ready') void showDevice(now.model);
  });
  failure.watch(showFailure);
  on(byId('notice-close'), 'click', () => failure.set(null));
}

/** A device may be replaced while it works: called again after each warning. */
export async function showDevice(model: Model): Promise<void> {
  const { backend, choices, warnings, name, visualTokens, loadTime } = model.info;
  byId('choices').replaceChildren(
    ...choices.map(({ what, chosen, reason }) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row' }, what),
        el('td', {}, el('b', {}, chosen), el('span', {}, reason)),
      ),
    ),
  );
  byId('warnings').replaceChildren(...warnings.map(({ message }) => el('li', {}, message)));
  const threads = backend.threads > 1 ? `, ${backend.threads} threads` : '';
  const facts = [`${name} on ${backend.name}${threads}`, `${visualTokens} visual tokens`];
  facts.push(`loaded in ${milliseconds(loadTime)}`);
  byId('device-line').textContent = facts.join(' · ');
  const { total } = await model.memory();
  byId('device-line').textContent = [...facts, `${bytes(total)} of memory`].join(' · ');
}

function showRun(run: Run | null): void {
  byId('run').hidden = !run;
  if (!run) return;
  byId('run-name').textContent = run.name;
  const show = (id: string, value: number | undefined, words: (value: number) => string): void => {
    const element = byId(id);
    element.textContent = value === undefined ? '' : words(value);
    if (element.parentElement) element.parentElement.hidden = value === undefined;
  };
  show('time-vision', run.vision, (value) => (value > 0 ? milliseconds(value) : 'known'));
  show('time-prefill', run.prefill, milliseconds);
  show('time-rate', run.tokensPerSecond || undefined, (value) => value.toFixed(0));
  show('time-total', run.total, milliseconds);
}

function showFailure(error: unknown): void {
  const notice = byId('notice');
  notice.hidden = error === null;
  if (error === null) return;
  const { message, fix, code } = facts(error);
  byId('notice-text').textContent = message;
  byId('notice-fix').textContent = fix;
  byId('notice-code').textContent = code;
}

/** Of the SDK's errors: what is wrong, what to do, and the stable code. */
function facts(error: unknown): { message: string; fix: string; code: string } {
  const { message, fix = '', code = '' } = error as { message?: string; fix?: unknown; code?: unknown };
  return {
    message: message || String(error),
    fix: typeof fix === 'string' ? fix : '',
    code: typeof code === 'string' ? code : '',
  };
}
