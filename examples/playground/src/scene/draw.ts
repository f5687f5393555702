import { BACKGROUNDS, COLOURS, HOLE, outlineOf, type Drawing, type Thing } from './world.ts';

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

/** Draws the scene over the whole canvas, which has its size. */
export function paint(context: Context, drawing: Drawing): void {
  const { width, height } = drawing;
  const [from, to] = BACKGROUNDS[drawing.background];
  const gradient = context.createLinearGradient(0, 0, width, height);
  gradient.addColorStop(0, from);
  gradient.addColorStop(1, to);
  context.fillStyle = gradient;
  context.fillRect(0, 0, width, height);
  for (const thing of drawing.things) paintThing(context, thing, Math.max(width, height));
}

/** @param long what a length of 1 is, in pixels. */
export function paintThing(context: Context, { shape, colour, x, y, extent }: Thing, long: number): void {
  context.beginPath();
  for (const scale of shape === 'ring' ? [1, HOLE] : [1]) {
    outlineOf(shape).forEach(([dx, dy], i) => {
      const at = [(x + dx * extent * scale) * long, (y + dy * extent * scale) * long] as const;
      if (i === 0) context.moveTo(...at);
      else context.lineTo(...at);
    });
    context.closePath();
  }
  context.fillStyle = `rgb(${COLOURS[colour].join(' ')})`;
  context.fill('evenodd');
}

/** The scene's pixels, for the model. */
export function pixelsOf(drawing: Drawing): ImageData {
  const canvas = new OffscreenCanvas(drawing.width, drawing.height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser has no canvas to draw on');
  paint(context, drawing);
  return context.getImageData(0, 0, drawing.width, drawing.height);
}
