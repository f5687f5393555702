/** What ran, how long it took, and why it was chosen; and what went wrong. */
import type { Model, Timings } from 'llava-sp';
import { byId, el, on } from '../dom.ts';
import { bytes, milliseconds } from '../format.ts';
import { failure, modelState, timings } from '../state.ts';

export function setUpFacts(): void {
  timings.watch(showTimings);
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

function showTimings(now: Timings | null): void {
  byId('timings').hidden = !now;
  if (!now) return;
  byId('time-vision').textContent = now.vision > 0 ? milliseconds(now.vision) : 'known';
  byId('time-prefill').textContent = milliseconds(now.prefill);
  byId('time-rate').textContent = now.tokensPerSecond > 0 ? now.tokensPerSecond.toFixed(0) : '–';
  byId('time-total').textContent = milliseconds(now.total);
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
