/**
 * Editing a drawn scene: each thing is a button over the canvas, to be dragged, or moved by the arrow keys. The canvas
 * is what the model sees; the buttons are transparent.
 */
import { announce } from '../announce.ts';
import { byId, el, icon, on } from '../dom.ts';
import { picture } from '../state.ts';
import {
  addThing,
  changeBackground,
  changeThing,
  currentDrawing,
  placeIn,
  selected,
  shuffle,
  thingById,
  type Brush,
} from './edit.ts';
import { handleFor, removeByHand } from './handle.ts';
import {
  BACKGROUND_NAMES,
  BACKGROUNDS,
  COLOUR_NAMES,
  COLOURS,
  HOLE,
  SHAPES,
  SIZE_NAMES,
  extentOf,
  halfSize,
  nameOf,
  outlineOf,
  sizeOf,
  type Background,
  type Drawing,
  type Shape,
} from './world.ts';

let brush: Brush = { shape: 'star', colour: 'purple', size: 'medium' };

export function setUpTools(): void {
  const tools = byId('editor');
  const shapes = choices('shape', SHAPES, (shape) => [shapeIcon(shape)]);
  const colours = choices('colour', COLOUR_NAMES, (colour) => {
    const swatch = el('span', { className: 'swatch' });
    swatch.style.setProperty('--swatch', `rgb(${COLOURS[colour].join(' ')})`);
    return [swatch];
  });
  const sizes = choices('size', SIZE_NAMES, (size) => [size]);
  const backgrounds = choices('background', BACKGROUND_NAMES, (name) => {
    const swatch = el('span', { className: 'swatch wide' });
    swatch.style.setProperty('--swatch', `linear-gradient(135deg, ${BACKGROUNDS[name].join(', ')})`);
    return [swatch];
  });
  byId('shapes').append(...shapes);
  byId('colours').append(...colours);
  byId('sizes').append(...sizes);
  byId('backgrounds').append(...backgrounds);

  on(tools, 'change', ({ target }) => {
    if (!(target instanceof HTMLInputElement)) return;
    if (target.name === 'background') {
      return changeBackground(target.value as Background);
    }
    const id = selected.value;
    brush = { ...brush, [target.name]: target.value };
    if (id === null) return;
    if (target.name === 'size') changeThing(id, { extent: extentOf(brush.size) });
    else changeThing(id, { [target.name]: target.value });
  });
  // Shown on small screens alone, where the tools are folded away until they are wanted.
  const edit = byId('edit');
  on(edit, 'click', () =>
    edit.setAttribute('aria-expanded', String(edit.getAttribute('aria-expanded') === 'false')),
  );
  on(byId('add'), 'click', () => {
    const thing = addThing(brush);
    announce(`Added a ${nameOf(thing)}. Arrow keys move it.`);
    byId(`thing-${thing.id}`).focus();
  });
  on(byId('remove'), 'click', () => {
    if (selected.value !== null) removeByHand(selected.value);
  });
  on(byId('shuffle'), 'click', () => {
    shuffle();
    announce(picture.value.name);
  });

  picture.watch((now) => {
    tools.hidden = !now.drawing;
    byId('things').hidden = !now.drawing;
    if (now.drawing) update(now.drawing);
  });
  selected.watch((id) => {
    const thing = thingById(id);
    if (thing) brush = { shape: thing.shape, colour: thing.colour, size: sizeOf(thing.extent) };
    update(currentDrawing());
  });
  // A press on nothing lets go.
  on(byId('stage'), 'pointerdown', ({ target }) => {
    if (target === byId('things')) selected.set(null);
  });
}

/** Radio buttons that look like what they stand for. */
function choices<T extends string>(
  name: string,
  all: readonly T[],
  look: (one: T) => (Node | string)[],
): Node[] {
  return all.map((one) =>
    el(
      'label',
      { className: 'choice', title: one },
      el('input', { type: 'radio', name, value: one, 'aria-label': one }),
      ...look(one),
    ),
  );
}

function shapeIcon(shape: Shape): SVGSVGElement {
  const svg = icon(shape);
  svg.setAttribute('viewBox', '-0.58 -0.58 1.16 1.16');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const ring = (scale: number): string =>
    `M${outlineOf(shape).map(([x, y]) => `${x * scale} ${y * scale}`).join('L')}Z`; // prettier-ignore
  path.setAttribute('d', shape === 'ring' ? ring(1) + ring(HOLE) : ring(1));
  path.setAttribute('fill-rule', 'evenodd');
  svg.replaceChildren(path);
  return svg;
}

/** Brings buttons and tools in line with the drawing; elements stay, so that focus and drags do. */
function update(now: Drawing): void {
  const layer = byId('things');
  const known = new Map([...layer.children].map((child) => [child.id, child as HTMLElement]));
  const long = Math.max(now.width, now.height);
  now.things.forEach((thing, i) => {
    const id = `thing-${thing.id}`;
    const handle = known.get(id) ?? handleFor(thing.id);
    known.delete(id);
    const [halfWidth, halfHeight] = halfSize(thing);
    handle.style.left = `${(((thing.x - halfWidth) * long) / now.width) * 100}%`;
    handle.style.top = `${(((thing.y - halfHeight) * long) / now.height) * 100}%`;
    handle.style.width = `${((halfWidth * 2 * long) / now.width) * 100}%`;
    handle.style.height = `${((halfHeight * 2 * long) / now.height) * 100}%`;
    handle.setAttribute('aria-label', `${nameOf(thing)}, ${placeIn(thing, now)}`);
    handle.classList.toggle('selected', thing.id === selected.value);
    if (layer.children[i] !== handle) layer.insertBefore(handle, layer.children[i] ?? null);
  });
  for (const gone of known.values()) gone.remove();
  check('shape', brush.shape);
  check('colour', brush.colour);
  check('size', brush.size);
  check('background', now.background);
  byId<HTMLButtonElement>('remove').disabled = selected.value === null;
  byId('brush-title').textContent = selected.value === null ? 'Next object' : 'Selected object';
}

function check(name: string, value: string): void {
  const input = byId('editor').querySelector<HTMLInputElement>(`input[name=${name}][value=${value}]`);
  if (input) input.checked = true;
}
