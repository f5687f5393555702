/** Of the world that the demo model knows (packages/demo-model/recipe/world.py), the shapes. */

export const COLOURS = {
  red: [214, 38, 38],
  orange: [244, 135, 25],
  yellow: [248, 214, 45],
  green: [46, 158, 66],
  blue: [42, 92, 212],
  purple: [138, 56, 172],
  black: [24, 24, 28],
  white: [245, 245, 245],
} as const;
export type Colour = keyof typeof COLOURS;
export const COLOUR_NAMES = Object.keys(COLOURS) as readonly Colour[];

export const SHAPES = ['circle', 'square', 'triangle', 'star', 'heart', 'ring', 'cross', 'diamond'] as const;
export type Shape = (typeof SHAPES)[number];

/** Largest extent of an object, as a share of the picture's longer side. */
export const SIZES = { small: [0.125, 0.165], medium: [0.21, 0.27], large: [0.34, 0.46] } as const;
export type Size = keyof typeof SIZES;
export const SIZE_NAMES = Object.keys(SIZES) as readonly Size[];

/** Muted, and well apart from every object's colour. */
export const BACKGROUNDS = {
  mist: ['#a8b3ba', '#a8b3ba'],
  sand: ['#cbb99c', '#cbb99c'],
  night: ['#454e63', '#454e63'],
  dusk: ['#8f8ba8', '#b9a3a3'],
  meadow: ['#a3b79a', '#8ba6ad'],
} as const;
export type Background = keyof typeof BACKGROUNDS;
export const BACKGROUND_NAMES = Object.keys(BACKGROUNDS) as readonly Background[];

/** One object. Lengths are shares of the picture's longer side; the centre counts from the picture's left and top. */
export interface Thing {
  readonly id: number;
  readonly shape: Shape;
  readonly colour: Colour;
  readonly x: number;
  readonly y: number;
  /** Its largest extent. */
  readonly extent: number;
}

export interface Drawing {
  /** In pixels. */
  readonly width: number;
  readonly height: number;
  readonly background: Background;
  readonly things: readonly Thing[];
}

type Point = readonly [number, number];

/** As `sizeName`'s words have it: the middle between two ranges divides them. */
export function sizeOf(extent: number): Size {
  if (extent < 0.1875) return 'small';
  return extent < 0.305 ? 'medium' : 'large';
}

export function extentOf(size: Size): number {
  const [low, high] = SIZES[size];
  return (low + high) / 2;
}

export function nameOf({ shape, colour, extent }: Thing): string {
  return `${sizeOf(extent)} ${colour} ${shape}`;
}

/** A ring's hole, as a share of its radius. */
export const HOLE = 0.56;

const OUTLINES = new Map<Shape, readonly Point[]>();

/** A shape's outline about its centre, its largest extent 1. */
export function outlineOf(shape: Shape): readonly Point[] {
  const known = OUTLINES.get(shape);
  if (known) return known;
  const raw = rawOutline(shape);
  const [xs, ys] = [raw.map(([x]) => x), raw.map(([, y]) => y)];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const scale = 1 / Math.max(right - left, bottom - top);
  const points = raw.map(([x, y]): Point => [
    (x - (left + right) / 2) * scale,
    (y - (top + bottom) / 2) * scale,
  ]);
  OUTLINES.set(shape, points);
  return points;
}

function rawOutline(shape: Shape): readonly Point[] {
  switch (shape) {
    case 'circle':
    case 'ring':
      return turn(72, (t) => [Math.cos(t), Math.sin(t)]);
    case 'square':
      return [[-1, -1], [1, -1], [1, 1], [-1, 1]]; // prettier-ignore
    case 'diamond':
      return [[0, -1], [0.71, 0], [0, 1], [-0.71, 0]]; // prettier-ignore
    case 'triangle':
      return [[0, -0.92], [0.94, 0.8], [-0.94, 0.8]]; // prettier-ignore
    case 'cross': {
      const a = 0.33;
      return [[-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a], [a, 1], [-a, 1], [-a, a], [-1, a], [-1, -a], [-a, -a]]; // prettier-ignore
    }
    case 'star':
      return turn(10, (t, i) => {
        const radius = i % 2 === 0 ? 1 : 0.45;
        return [radius * Math.cos(t - Math.PI / 2), radius * Math.sin(t - Math.PI / 2)];
      });
    case 'heart':
      return turn(72, (t) => [
        16 * Math.sin(t) ** 3,
        -(13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t)),
      ]);
    default:
      return shape satisfies never;
  }
}

function turn(steps: number, at: (angle: number, step: number) => Point): Point[] {
  return Array.from({ length: steps }, (_, i) => at((i / steps) * 2 * Math.PI, i));
}

/** Half of the width and height that a thing covers, as shares of the longer side. */
export function halfSize({ shape, extent }: Thing): Point {
  const outline = outlineOf(shape);
  return [Math.max(...outline.map(([x]) => x)) * extent, Math.max(...outline.map(([, y]) => y)) * extent];
}

/** The thing within the picture, wherever it was moved. */
export function keepInside(thing: Thing, { width, height }: Drawing): Thing {
  const long = Math.max(width, height);
  const [halfWidth, halfHeight] = halfSize(thing);
  return {
    ...thing,
    x: clamp(thing.x, halfWidth, width / long - halfWidth),
    y: clamp(thing.y, halfHeight, height / long - halfHeight),
  };
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** What the page begins with. */
export const FIRST_DRAWING: Drawing = {
  width: 640,
  height: 480,
  background: 'mist',
  things: [
    { id: 1, shape: 'star', colour: 'red', x: 0.72, y: 0.22, extent: 0.23 },
    { id: 2, shape: 'circle', colour: 'blue', x: 0.28, y: 0.3, extent: 0.36 },
    { id: 3, shape: 'heart', colour: 'green', x: 0.53, y: 0.55, extent: 0.23 },
    { id: 4, shape: 'ring', colour: 'yellow', x: 0.82, y: 0.58, extent: 0.14 },
  ],
};

/** A scene of three to five things that do not overlap. */
export function randomDrawing({ width, height }: Drawing, firstId: number): Drawing {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)];
  const drawing: Drawing = { width, height, background: pick(BACKGROUND_NAMES), things: [] };
  const wanted = 3 + Math.floor(Math.random() * 3);
  const things: Thing[] = [];
  for (let tries = 0; tries < 200 && things.length < wanted; tries++) {
    const size = pick(tries < 100 ? SIZE_NAMES : (['small'] as const));
    const [low, high] = SIZES[size];
    const thing = keepInside(
      {
        id: firstId + things.length,
        shape: pick(SHAPES),
        colour: pick(COLOUR_NAMES),
        x: Math.random() * 1.2 - 0.1,
        y: Math.random() * 1.2 - 0.1,
        extent: low + Math.random() * (high - low),
      },
      drawing,
    );
    if (!things.some((other) => overlap(thing, other))) things.push(thing);
  }
  return { ...drawing, things };
}

function overlap(a: Thing, b: Thing): boolean {
  const gap = 0.02;
  const [[aw, ah], [bw, bh]] = [halfSize(a), halfSize(b)];
  return Math.abs(a.x - b.x) < aw + bw + gap && Math.abs(a.y - b.y) < ah + bh + gap;
}
