/** Doing it again when the drawn scene has changed: what is shown always fits the picture. */
import { byId, settled } from '../dom.ts';
import { busy, modelState, picture, tab, type Tab } from '../state.ts';

/** Long enough for a drag to be over, in milliseconds. */
const REST = 250;

/**
 * Calls `work` once the scene rests after a change, while `own` is the tab that is shown.
 *
 * @param name of the work: what else is under way is not disturbed.
 */
export function afterChanges(own: Tab, name: string, work: () => unknown): void {
  const again = settled(REST, () => {
    const wanted = byId<HTMLInputElement>('live').checked && tab.value === own && picture.value.drawing;
    const free = busy.value === null || busy.value === name;
    if (wanted && free && modelState.value.kind === 'ready') work();
  });
  let first = true;
  picture.watch(() => {
    if (!first) again();
    first = false;
  });
}
