/** The drawn scene, and what can be done with it. */
import { pictureOfDrawing } from '../picture.ts';
import { signal } from '../signal.ts';
import { show } from '../state.ts';
import {
  FIRST_DRAWING,
  clamp,
  extentOf,
  keepInside,
  randomDrawing,
  type Background,
  type Colour,
  type Drawing,
  type Shape,
  type Size,
  type Thing,
} from './world.ts';

/** The id of the thing that is being edited. */
export const selected = signal<number | null>(null);

/** What the next thing will be. */
export type Brush = { readonly shape: Shape; readonly colour: Colour; readonly size: Size };

/** Never forgotten: back from a photo, the scene is as it was. */
let drawing: Drawing = FIRST_DRAWING;
let nextId = 100;

export function currentDrawing(): Drawing {
  return drawing;
}

export function thingById(id: number | null): Thing | undefined {
  return drawing.things.find((thing) => thing.id === id);
}

/** Takes a changed drawing over. */
function change(next: Drawing): void {
  drawing = next;
  show(pictureOfDrawing(next));
}

/** Replaces one thing, kept within the picture. */
export function changeThing(id: number, changes: Partial<Omit<Thing, 'id'>>): void {
  const things = drawing.things.map((thing) =>
    thing.id === id ? keepInside({ ...thing, ...changes }, drawing) : thing,
  );
  change({ ...drawing, things });
}

export function changeBackground(background: Background): void {
  change({ ...drawing, background });
}

/** @returns the one that takes its place in the order, if there is one. */
export function removeThing(id: number): Thing | undefined {
  const index = drawing.things.findIndex((thing) => thing.id === id);
  const things = drawing.things.filter((thing) => thing.id !== id);
  selected.set(null);
  change({ ...drawing, things });
  return things[Math.min(index, things.length - 1)];
}

export function addThing({ shape, colour, size }: Brush): Thing {
  const { width, height } = drawing;
  const long = Math.max(width, height);
  const extent = extentOf(size);
  const at = freePlace(extent) ?? { x: width / long / 2, y: height / long / 2 };
  const thing = keepInside({ id: nextId++, shape, colour, extent, ...at }, drawing);
  change({ ...drawing, things: [...drawing.things, thing] });
  selected.set(thing.id);
  return thing;
}

export function shuffle(): void {
  selected.set(null);
  change(randomDrawing(drawing, nextId));
  nextId += drawing.things.length;
}

/** Shows the drawing again, after a photo. */
export function showDrawing(): void {
  change(drawing);
}

/** Where a thing of this size touches no other, if there is such a place. */
function freePlace(extent: number): { x: number; y: number } | null {
  const { width, height, things } = drawing;
  const long = Math.max(width, height);
  let best: { x: number; y: number } | null = null;
  let most = 0;
  for (let x = extent / 2; x <= width / long - extent / 2; x += 0.02) {
    for (let y = extent / 2; y <= height / long - extent / 2; y += 0.02) {
      const gaps = things.map((other) => Math.hypot(x - other.x, y - other.y) - (extent + other.extent) / 2);
      const gap = Math.min(1, ...gaps);
      if (gap > most) [best, most] = [{ x, y }, gap];
    }
  }
  return best;
}

/** Where a thing's centre is, for those who do not see it. */
export function placeIn({ x, y }: Thing, { width, height }: Drawing): string {
  const long = Math.max(width, height);
  const share = (v: number, side: number): number => Math.round(clamp((v * long) / side, 0, 1) * 100);
  return `${share(x, width)} % from the left, ${share(y, height)} % from the top`;
}
