/** The WebGL backend's products in plain JavaScript, in the layouts of its textures: what is around them runs in Node. */
import type { GpuProducts } from '../../packages/core/src/backends/webgl/products.ts';
import type { GpuJsTexture } from '../../packages/core/src/backends/webgl/gpu_js.ts';
import { activate } from '../../packages/core/src/reference/activation.ts';

export interface JsProducts extends GpuProducts {
  /** Textures that were made and not released, but for weights. */
  readonly live: number;
  /** Products so far. */
  readonly count: number;
}

/** @param maxSize of a texture's sides, in texels of four floats. */
export function jsProducts(maxSize = 4096): JsProducts {
  const values = new WeakMap<GpuJsTexture, Float32Array>();
  let [live, count] = [0, 0];
  const texture = (data: Float32Array): GpuJsTexture => {
    const made: GpuJsTexture = { renderValues: () => data, delete: () => void live-- };
    values.set(made, data);
    return made;
  };
  const of = (made: GpuJsTexture): Float32Array => {
    const data = values.get(made);
    if (!data) throw new Error('no such texture');
    return data;
  };
  return {
    renderer: 'JavaScript',
    get live() {
      return live;
    },
    get count() {
      return count;
    },
    fits: (rows, n, k) => Math.max(rows, n / 4, k) <= maxSize,
    matrix: (transposed, n, k) => ({ n, k, texture: texture(transposed), bytes: 4 * transposed.length }),
    vector: (data) => ({ texture: texture(data), bytes: 4 * data.length }),
    releaseUploads: () => undefined,
    upload(data, rows, cols) {
      if (data.length !== rows * cols || rows % 8 !== 0 || cols % 4 !== 0) {
        throw new RangeError(`${data.length} values for ${rows} x ${cols}`);
      }
      live++;
      return { rows, cols, texture: texture(data.slice()) };
    },
    linear(x, w, bias, act) {
      const cols = Math.ceil(w.n / 4) * 4;
      const [a, b] = [of(x.texture), of(w.texture)];
      const added = bias && of(bias.texture);
      const y = new Float32Array(x.rows * cols);
      for (let r = 0; r < x.rows; r++) {
        for (let o = 0; o < w.n; o++) {
          let sum = added ? added[o] : 0;
          for (let i = 0; i < w.k; i++) sum += a[r * x.cols + i] * b[i * cols + o];
          y[r * cols + o] = activate(act, sum);
        }
      }
      live++;
      count++;
      return { rows: x.rows, cols, texture: texture(y) };
    },
    read: (rows) => of(rows.texture),
    release: (rows) => rows.texture.delete(),
    dispose: () => Promise.resolve(),
  };
}
