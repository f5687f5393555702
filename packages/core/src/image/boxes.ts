/** Boxes in a model's answers, to and from source pixels (specification, section 7). */

/** `[x1, y1, x2, y2]`: left, top, right, bottom. In 0..1 of a picture or in its pixels, as the function says. */
export type Box = readonly [number, number, number, number];

/** How a source picture became a model's input: placed on a canvas, resized, cropped. All in pixels. */
export interface Geometry {
  /** Upright, that is after the EXIF orientation. */
  sourceWidth: number;
  /** Upright. */
  sourceHeight: number;
  /** The padded square; without padding the source's own size. */
  canvasWidth: number;
  /** As `canvasWidth`. */
  canvasHeight: number;
  /** Where the source's top-left pixel lies on the canvas. */
  offsetX: number;
  /** As `offsetX`, from the top. */
  offsetY: number;
  /** The canvas after resizing. */
  resizedWidth: number;
  /** As `resizedWidth`. */
  resizedHeight: number;
  /** Where the input's top-left pixel lies on the resized canvas; negative where the crop is larger. */
  cropX: number;
  /** As `cropX`, from the top. */
  cropY: number;
  /** The model's input. */
  width: number;
  /** The model's input. */
  height: number;
}

/**
 * From 0..1 of the padded square to source pixels of a `width` x `height` picture: times the long side, minus the
 * padding, clipped to the picture.
 */
export function paddedToSource(box: Box, width: number, height: number): Box {
  const { side, x, y } = padding(width, height);
  return clip([box[0] * side - x, box[1] * side - y, box[2] * side - x, box[3] * side - y], width, height);
}

/** The inverse of {@link paddedToSource}: source pixels to 0..1 of the padded square. */
export function sourceToPadded(box: Box, width: number, height: number): Box {
  const { side, x, y } = padding(width, height);
  return [(box[0] + x) / side, (box[1] + y) / side, (box[2] + x) / side, (box[3] + y) / side];
}

/** From 0..1 of the model's input, however it was padded and cropped, to source pixels, clipped to the source. */
export function inputToSource(box: Box, geometry: Geometry): Box {
  const g = geometry;
  const scaleX = g.canvasWidth / g.resizedWidth;
  const scaleY = g.canvasHeight / g.resizedHeight;
  const x = (v: number) => (g.cropX + v * g.width) * scaleX - g.offsetX;
  const y = (v: number) => (g.cropY + v * g.height) * scaleY - g.offsetY;
  return clip([x(box[0]), y(box[1]), x(box[2]), y(box[3])], g.sourceWidth, g.sourceHeight);
}

/**
 * The inverse of {@link inputToSource}: source pixels to 0..1 of the model's input. What the crop cut off lies
 * outside 0..1.
 */
export function sourceToInput(box: Box, geometry: Geometry): Box {
  const g = geometry;
  const scaleX = g.resizedWidth / g.canvasWidth;
  const scaleY = g.resizedHeight / g.canvasHeight;
  const x = (v: number) => ((v + g.offsetX) * scaleX - g.cropX) / g.width;
  const y = (v: number) => ((v + g.offsetY) * scaleY - g.cropY) / g.height;
  return [x(box[0]), y(box[1]), x(box[2]), y(box[3])];
}

/** Every `[x1, y1, x2, y2]` in a text whose four numbers lie in 0..1, in their order. */
export function parseBoxes(text: string): Box[] {
  // Runs are bounded, so that a long text is searched in linear time.
  const number = String.raw`\s{0,8}(\d{0,4}\.\d{1,16}|\d{1,4})\s{0,8}`;
  const pattern = new RegExp(String.raw`\[${number},${number},${number},${number}\]`, 'g');
  const boxes: Box[] = [];
  for (const match of text.matchAll(pattern)) {
    const box: Box = [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])];
    if (box.every((v) => v <= 1)) boxes.push(box);
  }
  return boxes;
}

/** A box in 0..1 as prompts and answers write it: `[0.12, 0.30, 0.45, 0.90]`. */
export function formatBox(box: Box, decimals = 2): string {
  return `[${box.map((v) => v.toFixed(decimals)).join(', ')}]`;
}

/**
 * Every box of InternVL's `<ref>phrase</ref><box>[[x1, y1, x2, y2]]</box>` in a text: integers 0..1000 of the picture itself,
 * returned in 0..1 of it, in their order. The tags may be missing: tokenizers count them as special and leave them out.
 */
export function parseThousandths(text: string): Box[] {
  const number = String.raw`\s{0,8}(\d{1,4})\s{0,8}`;
  const one = String.raw`\[${number},${number},${number},${number}\]`;
  const list = new RegExp(String.raw`\[\s{0,8}(${one}(?:\s{0,8},\s{0,8}${one}){0,63})\s{0,8}\]`, 'g');
  const boxes: Box[] = [];
  for (const [, inner] of text.matchAll(list)) {
    for (const match of inner.matchAll(new RegExp(one, 'g'))) {
      const [x1, y1, x2, y2] = match.slice(1, 5).map((digits) => Number(digits) / 1000);
      if (Math.max(x1, y1, x2, y2) <= 1) boxes.push([x1, y1, x2, y2]);
    }
  }
  return boxes;
}

/** A box in 0..1 of the picture as InternVL writes it: `<box>[[120, 300, 450, 900]]</box>`. */
export function formatThousandths(box: Box): string {
  return `<box>[[${box.map((v) => Math.round(v * 1000)).join(', ')}]]</box>`;
}

/** From 0..1 of a `width` x `height` picture itself, as models of several tiles give boxes, to its pixels, clipped to it. */
export function pictureToSource(box: Box, width: number, height: number): Box {
  return clip([box[0] * width, box[1] * height, box[2] * width, box[3] * height], width, height);
}

/** The inverse of {@link pictureToSource}: source pixels to 0..1 of the picture. */
export function sourceToPicture(box: Box, width: number, height: number): Box {
  return [box[0] / width, box[1] / height, box[2] / width, box[3] / height];
}

function padding(width: number, height: number): { side: number; x: number; y: number } {
  const side = Math.max(width, height);
  return { side, x: Math.floor((side - width) / 2), y: Math.floor((side - height) / 2) };
}

function clip(box: Box, width: number, height: number): Box {
  const to = (v: number, max: number) => Math.min(Math.max(v, 0), max);
  return [to(box[0], width), to(box[1], height), to(box[2], width), to(box[3], height)];
}
