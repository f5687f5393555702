import type { Pixels } from '../../packages/core/src/image/pixels.ts';

/** The source pictures of test/golden/resize/sources.py, which describes them. */
export function goldenSource(pattern: string, seed: number, width: number, height: number): Pixels {
  const data = new Uint8Array(width * height * 3);
  if (pattern === 'ramp') {
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i += 3) {
        data[i] = 5 * x + 3 * y;
        data[i + 1] = 2 * x + 7 * y + 85;
        data[i + 2] = x * y;
      }
    }
  } else {
    const random = xorshift32(seed);
    for (let i = 0; i < data.length; i++) {
      const top = random() >>> 24;
      data[i] = pattern === 'binary' ? (top >= 128 ? 255 : 0) : top;
    }
  }
  return { data, width, height, channels: 3 };
}

/** Unsigned 32-bit states, stepped before each; `seed` is not 0. */
export function xorshift32(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s;
  };
}
