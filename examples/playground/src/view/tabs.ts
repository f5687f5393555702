/** Tabs as the ARIA practices have them: arrow keys go from one to the next. */
import { byId, on } from '../dom.ts';
import { tab, type Tab } from '../state.ts';

const NAMES: readonly Tab[] = ['ask', 'find', 'heat'];

export function setUpTabs(): void {
  for (const name of NAMES) on(byId(`tab-${name}`), 'click', () => tab.set(name));
  on(byId('tabs'), 'keydown', (event) => {
    const at = NAMES.indexOf(tab.value);
    const next =
      event.key === 'ArrowRight' ? at + 1
      : event.key === 'ArrowLeft' ? at - 1
      : event.key === 'Home' ? 0
      : event.key === 'End' ? NAMES.length - 1
      : null; // prettier-ignore
    if (next === null) return;
    event.preventDefault();
    tab.set(NAMES[(next + NAMES.length) % NAMES.length]);
    byId(`tab-${tab.value}`).focus();
  });
  tab.watch((now) => {
    for (const name of NAMES) {
      const button = byId(`tab-${name}`);
      button.setAttribute('aria-selected', String(name === now));
      button.tabIndex = name === now ? 0 : -1;
      byId(`panel-${name}`).hidden = name !== now;
    }
  });
}
