/** How rows of a weight, or heads, are divided between threads. Every thread computes the same answer by itself. */

/** Rows of a packed weight come in blocks of this many; a cut elsewhere would waste padding. */
const ROW_BLOCK = 8;

/**
 * Column boundaries `[0, ..., n]`, one more than threads: thread t owns `[starts[t], starts[t + 1])`. `units` equal
 * groups (heads) are kept whole; 0 means blocks of eight rows.
 */
export function partition(n: number, units: number, threads: number): number[] {
  const count = units > 0 ? units : Math.ceil(n / ROW_BLOCK);
  const height = units > 0 ? n / units : ROW_BLOCK;
  return Array.from({ length: threads + 1 }, (_, t) =>
    Math.min(n, Math.floor((t * count) / threads) * height),
  );
}

/** Whether two divisions are the same. */
export function samePartition(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}
