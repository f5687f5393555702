/** A thing's button: mouse, touch, pen and keys. */
import { announce } from '../announce.ts';
import { byId, el, on } from '../dom.ts';
import { changeThing, currentDrawing, placeIn, removeThing, selected, thingById } from './edit.ts';
import { clamp, nameOf, sizeOf } from './world.ts';

/** Shares of the longer side. */
const STEP = 0.01;
const LONG_STEP = 0.05;
const LEAST_EXTENT = 0.08;
const MOST_EXTENT = 0.6;

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function handleFor(id: number): HTMLElement {
  const corner = el('span', { className: 'corner' });
  const handle = el('button', { id: `thing-${id}`, type: 'button', className: 'thing' }, corner);
  handle.setAttribute('aria-describedby', 'thing-help');
  on(handle, 'focus', () => selected.set(id));
  on(handle, 'keydown', (event) => {
    if (byKey(id, event)) event.preventDefault();
  });
  drag(handle, id);
  return handle;
}

function byKey(id: number, { key, shiftKey, ctrlKey, metaKey, altKey }: KeyboardEvent): boolean {
  const thing = thingById(id);
  if (!thing || ctrlKey || metaKey || altKey) return false;
  if (key in ARROWS) {
    const [dx, dy] = ARROWS[key];
    const step = shiftKey ? LONG_STEP : STEP;
    changeThing(id, { x: thing.x + dx * step, y: thing.y + dy * step });
    sayPlace(id);
    return true;
  }
  if (key === '+' || key === '=' || key === '-') {
    resize(id, thing.extent + (key === '-' ? -STEP : STEP));
    const now = thingById(id);
    if (now) announce(`${sizeOf(now.extent)}.`);
    return true;
  }
  if (key === 'Delete' || key === 'Backspace') {
    removeByHand(id);
    return true;
  }
  return false;
}

/** Removes a thing, and gives the focus, which was on it, to another one. */
export function removeByHand(id: number): void {
  const gone = thingById(id);
  const next = removeThing(id);
  if (gone) announce(`Removed the ${nameOf(gone)}.`);
  // On small screens the tools may be folded away.
  const add = byId('add').checkVisibility() ? byId('add') : byId('edit');
  (next ? byId(`thing-${next.id}`) : add).focus();
}

function sayPlace(id: number): void {
  const thing = thingById(id);
  if (thing) announce(`${nameOf(thing)}: ${placeIn(thing, currentDrawing())}.`);
}

function resize(id: number, extent: number): void {
  changeThing(id, { extent: clamp(extent, LEAST_EXTENT, MOST_EXTENT) });
}

/** Dragging moves the thing; dragging its corner resizes it. */
function drag(handle: HTMLElement, id: number): void {
  let from: { x: number; y: number; pointer: number; resizing: boolean } | null = null;
  on(handle, 'pointerdown', (event) => {
    const thing = thingById(id);
    if (!thing || event.button !== 0) return;
    const resizing = event.target !== handle;
    const at = placeOnPicture(event);
    // The thing stays where it was taken hold of.
    from = { x: at.x - thing.x, y: at.y - thing.y, pointer: event.pointerId, resizing };
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  on(handle, 'pointermove', (event) => {
    const thing = thingById(id);
    if (!thing || from?.pointer !== event.pointerId) return;
    const { x, y } = placeOnPicture(event);
    if (from.resizing) resize(id, 2 * Math.max(Math.abs(x - thing.x), Math.abs(y - thing.y)));
    else changeThing(id, { x: x - from.x, y: y - from.y });
  });
  const end = (): void => {
    if (from) sayPlace(id);
    from = null;
  };
  on(handle, 'pointerup', end);
  on(handle, 'pointercancel', end);
}

/** In shares of the picture's longer side. */
function placeOnPicture({ clientX, clientY }: PointerEvent): { x: number; y: number } {
  const { left, top, width } = byId('stage').getBoundingClientRect();
  const drawing = currentDrawing();
  const scale = drawing.width / Math.max(drawing.width, drawing.height) / width;
  return { x: (clientX - left) * scale, y: (clientY - top) * scale };
}
