/** Runs linears that follow each other on the GPU, some rows at a time. */
import { throwIfAborted } from '../../errors/index.ts';
import type { Stage, Transfer } from './cut.ts';
import {
  ROW_STEP,
  roundUp,
  type GpuMatrix,
  type GpuRows,
  type GpuVector,
  type GpuProducts,
} from './products.ts';

/** Milliseconds after which others get a turn on the thread. */
const TURN_MS = 16;

export interface StageDevice {
  readonly products: GpuProducts;
  readonly matrix: (name: string) => GpuMatrix;
  readonly vector: (name: string) => GpuVector;
  /** Most multiply-adds of a draw. */
  readonly drawMacs: number;
}

/**
 * @param given what the steps read of the other backend's memory, dense, by the name of its transfer.
 * @returns what they wrote, the same way.
 */
export async function runStage(
  device: StageDevice,
  { rows, steps }: Stage,
  given: ReadonlyMap<string, Float32Array>,
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const largest = Math.max(...steps.map(({ linear: { w } }) => w.n * w.k));
  const most = Math.max(ROW_STEP, Math.floor(device.drawMacs / largest / ROW_STEP) * ROW_STEP);
  // Chunks of one size: each size is a kernel of its own.
  const chunk = roundUp(Math.ceil(rows / Math.ceil(rows / most)), ROW_STEP);
  const results = new Map<string, Float32Array>();
  for (const { y } of steps) if (y) results.set(y.name, new Float32Array(rows * y.t.cols));
  let turn = performance.now();
  for (let first = 0; first < rows; first += chunk) {
    if (performance.now() - turn > TURN_MS) {
      await new Promise((done) => setTimeout(done, 0));
      turn = performance.now();
    }
    throwIfAborted(signal);
    runChunk(device, steps, given, results, first, Math.min(chunk, rows - first), chunk);
  }
  return results;
}

function runChunk(
  { products, matrix, vector }: StageDevice,
  steps: Stage['steps'],
  given: ReadonlyMap<string, Float32Array>,
  results: ReadonlyMap<string, Float32Array>,
  first: number,
  rows: number,
  padded: number,
): void {
  const uploaded = new Map<string, GpuRows>();
  const made: GpuRows[] = [];
  const read: (Float32Array | undefined)[] = [];
  const valuesOf = ({ name, t }: Transfer): Float32Array => {
    const values = given.get(name);
    if (!values) throw new Error(`${name} was not given`);
    return values.subarray(first * t.cols, (first + rows) * t.cols);
  };
  try {
    steps.forEach(({ linear: { w, bias, act }, x, residual, y }, i) => {
      let from = typeof x === 'number' ? made[x] : uploaded.get(x.name);
      if (!from && typeof x === 'object') {
        from = upload(products, valuesOf(x), rows, x.t.cols, padded);
        uploaded.set(x.name, from);
      }
      if (!from) throw new Error(`${w.name} has no x`);
      const result = products.linear(from, matrix(w.name), bias && vector(bias.name), act);
      made.push(result);
      const wanted = y || steps.some((step) => step.residual === i);
      if (!wanted && residual === null) return;
      const values = products.read(result);
      const added = typeof residual === 'number' ? read[residual] : residual && valuesOf(residual);
      read[i] = compact(values, rows, w.n, result.cols, added ?? null);
      if (y) results.get(y.name)?.set(read[i], first * w.n);
    });
  } finally {
    for (const texture of [...uploaded.values(), ...made]) products.release(texture);
  }
}

/** Dense rows, with zeros up to whole texels and `padded` rows. */
function upload(
  products: GpuProducts,
  values: Float32Array,
  rows: number,
  cols: number,
  padded: number,
): GpuRows {
  const width = roundUp(cols, 4);
  if (width === cols && padded === rows) return products.upload(values, padded, width);
  const out = new Float32Array(padded * width);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * cols, (r + 1) * cols), r * width);
  return products.upload(out, padded, width);
}

/** The first `rows` rows and `cols` columns of rows of `width`, and the residual added. */
function compact(
  values: Float32Array,
  rows: number,
  cols: number,
  width: number,
  residual: Float32Array | null,
): Float32Array {
  const out = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const at = r * cols + c;
      out[at] = values[r * width + c] + (residual ? residual[at] : 0);
    }
  }
  return out;
}
