/**
 * Pillow's antialiased bicubic resize (`Image.resize(size, BICUBIC)`), equal to the last bit on 8-bit RGB: the
 * filter of a = -0.5, its support widened by the down-scale factor, two passes with fixed-point weights, and an
 * 8-bit picture between the two. Vision towers were trained on its output, and a
 * browser's or another library's bicubic differs by up to tens of levels.
 */
import type { Pixels } from './pixels.ts';

/** Fraction bits of a weight: a sum of 8-bit values times weights, with 2 bits of overshoot, fits 32 bits. */
const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);
const SUPPORT = 2;

/** A rectangle in pixels. Where it says so, it may lie partly outside the picture it refers to. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A source picture pasted on a larger canvas of one colour, which is never made. */
export interface Canvas {
  width: number;
  height: number;
  /** Where the picture's top-left pixel lies on the canvas. The whole picture lies on it. */
  x: number;
  y: number;
  /** RGB, 0..255. */
  fill: readonly [number, number, number];
}

/** For each output position: the first tap, the number of taps, and their weights times 2^22. */
interface Weights {
  taps: number;
  first: Int32Array;
  count: Int32Array;
  weights: Int32Array;
}

/** Resizes `src` to `width` x `height`, both at least 1: Pillow's result, bit for bit. */
export function resizeBicubic(src: Pixels, width: number, height: number): Pixels {
  if (src.width === width && src.height === height) return { ...src, data: src.data.slice() };
  const canvas: Canvas = { width: src.width, height: src.height, x: 0, y: 0, fill: [0, 0, 0] };
  return resizeCanvas(src, canvas, width, height, { x: 0, y: 0, width, height });
}

/**
 * What Pillow gives for: paste `src` on `canvas`, resize the canvas to `width` x `height`, cut `window` out.
 * Only the window is computed, and the canvas's empty part enters as one product a tap run: the integer sums
 * are the same, so the bits are too. `window` lies inside the resized canvas.
 */
export function resizeCanvas(
  src: Pixels,
  canvas: Canvas,
  width: number,
  height: number,
  window: Rect,
): Pixels {
  const columns = bicubicWeights(canvas.width, width, window.x, window.width);
  const rows = bicubicWeights(canvas.height, height, window.y, window.height);
  const { fill } = canvas;
  // Pillow 13's rule for the order, which shows in the bits because of the 8-bit picture in between. Where both
  // directions keep their ratio, it concerns pictures scaled down that are over twice as tall as wide.
  const verticalFirst = canvas.height > height && canvas.height - height > (canvas.width - width) * 2;
  let data: Uint8Array;
  if (verticalFirst) {
    const middle = verticalPass(src.data, src.width, src.height, canvas.y, rows, repeat(fill, src.width));
    // Left and right of the picture, each row of the middle picture is of one colour.
    const beside = verticalPass(new Uint8Array(0), 1, 0, 0, rows, repeat(fill, 1));
    data = horizontalPass(middle, src.width, canvas.x, columns, beside);
  } else {
    // Only the canvas rows that the vertical pass reads, and of these the ones that the picture covers.
    const last = window.height - 1;
    const top = Math.max(rows.first[0] - canvas.y, 0);
    const count = Math.max(Math.min(rows.first[last] + rows.count[last] - canvas.y, src.height) - top, 0);
    const used = src.data.subarray(top * src.width * 3, (top + count) * src.width * 3);
    const middle = horizontalPass(used, src.width, canvas.x, columns, repeat(fill, count));
    const beyond = horizontalPass(new Uint8Array(0), 0, 0, columns, repeat(fill, 1));
    data = verticalPass(middle, window.width, count, canvas.y + top, rows, beyond);
  }
  return { data, width: window.width, height: window.height, channels: 3 };
}

function repeat(fill: Canvas['fill'], count: number): Uint8Array {
  const out = new Uint8Array(count * 3);
  for (let i = 0; i < out.length; i++) out[i] = fill[i % 3];
  return out;
}

/** The cubic convolution kernel at `x` for a = -0.5, in Pillow's order of operations. */
function bicubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

/** Weights for the outputs `[start, start + length)` of a pass from `inSize` to `outSize` pixels. */
function bicubicWeights(inSize: number, outSize: number, start: number, length: number): Weights {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = SUPPORT * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * taps);
  const exact = new Float64Array(taps);
  const inverse = 1 / filterScale;
  for (let i = 0; i < length; i++) {
    if (inSize === outSize) {
      // Pillow leaves such a pass out; one tap of weight 1 gives the same bytes.
      first[i] = start + i;
      count[i] = 1;
      weights[i * taps] = 1 << PRECISION_BITS;
      continue;
    }
    const center = (start + i + 0.5) * scale;
    const from = Math.max(Math.trunc(center - support + 0.5), 0);
    const n = Math.min(Math.trunc(center + support + 0.5), inSize) - from;
    let sum = 0;
    for (let t = 0; t < n; t++) {
      exact[t] = bicubic((t + from - center + 0.5) * inverse);
      sum += exact[t];
    }
    for (let t = 0; t < n; t++) {
      const w = sum === 0 ? exact[t] : exact[t] / sum;
      weights[i * taps + t] = Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS));
    }
    first[i] = from;
    count[i] = n;
  }
  return { taps, first, count, weights };
}

/**
 * Resizes rows `[rows, width, 3]`, which lie `left` pixels from the canvas's left edge, to `[rows, outputs, 3]`.
 * `beside` `[rows, 3]` is each row's colour left and right of them.
 */
function horizontalPass(
  data: Uint8Array,
  width: number,
  left: number,
  columns: Weights,
  beside: Uint8Array,
): Uint8Array {
  const { taps, weights } = columns;
  const outputs = columns.first.length;
  const rows = beside.length / 3;
  const out = new Uint8Array(rows * outputs * 3);
  // Of each output's taps: where those on the picture begin and end, and what the others' weights add up to.
  const begin = new Int32Array(outputs);
  const firstWeight = new Int32Array(outputs);
  const endWeight = new Int32Array(outputs);
  const outside = new Int32Array(outputs);
  for (let x = 0; x < outputs; x++) {
    const from = columns.first[x] - left;
    const to = from + columns.count[x];
    const a = Math.min(Math.max(from, 0), width);
    const b = Math.max(Math.min(to, width), a);
    begin[x] = a * 3;
    const own = x * taps - from;
    firstWeight[x] = own + a;
    endWeight[x] = own + b;
    for (let t = from; t < to; t++) if (t < a || t >= b) outside[x] += weights[own + t];
  }
  for (let y = 0, d = 0; y < rows; y++) {
    const row = y * width * 3;
    const besideR = beside[y * 3];
    const besideG = beside[y * 3 + 1];
    const besideB = beside[y * 3 + 2];
    for (let x = 0; x < outputs; x++, d += 3) {
      const rest = outside[x];
      let r = HALF + Math.imul(rest, besideR);
      let g = HALF + Math.imul(rest, besideG);
      let b = HALF + Math.imul(rest, besideB);
      const end = endWeight[x];
      for (let k = firstWeight[x], s = row + begin[x]; k < end; k++, s += 3) {
        const w = weights[k];
        r = (r + Math.imul(data[s], w)) | 0;
        g = (g + Math.imul(data[s + 1], w)) | 0;
        b = (b + Math.imul(data[s + 2], w)) | 0;
      }
      out[d] = clip(r);
      out[d + 1] = clip(g);
      out[d + 2] = clip(b);
    }
  }
  return out;
}

/**
 * Resizes `[height, width, 3]`, which lies `top` pixels from the canvas's upper edge, to `[outputs, width, 3]`.
 * `beyond` `[width, 3]` is every row above and below it.
 */
function verticalPass(
  data: Uint8Array,
  width: number,
  height: number,
  top: number,
  rows: Weights,
  beyond: Uint8Array,
): Uint8Array {
  const outputs = rows.first.length;
  const stride = width * 3;
  const out = new Uint8Array(outputs * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < outputs; y++) {
    let outside = 0;
    sums.fill(HALF);
    for (let t = 0; t < rows.count[y]; t++) {
      const w = rows.weights[y * rows.taps + t];
      const row = rows.first[y] + t - top;
      if (row < 0 || row >= height) {
        outside += w;
        continue;
      }
      const s = row * stride;
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] + Math.imul(data[s + i], w)) | 0;
    }
    if (outside !== 0)
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] + Math.imul(beyond[i], outside)) | 0;
    const d = y * stride;
    for (let i = 0; i < stride; i++) out[d + i] = clip(sums[i]);
  }
  return out;
}

/** A fixed-point sum to 0..255, as Pillow: an arithmetic shift, then a clamp. */
function clip(sum: number): number {
  const v = sum >> PRECISION_BITS;
  return v < 0 ? 0 : v > 255 ? 255 : v;
}
