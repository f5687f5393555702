/**
 * A `rows x cols` view of float64 values, row-major, rows `ld` elements apart, starting at element `offset`. u32 values
 * (token ids) are held as float64 too: they are exact.
 */
export interface Matrix {
  readonly data: Float64Array;
  readonly offset: number;
  readonly rows: number;
  readonly cols: number;
  readonly ld: number;
}

/** A dense matrix over `data`, which holds exactly `rows * cols` values. */
export function matrix(data: Float64Array, rows: number, cols: number): Matrix {
  if (data.length !== rows * cols) throw new RangeError(`${data.length} values for ${rows} x ${cols}`);
  return { data, offset: 0, rows, cols, ld: cols };
}

export function zeros(rows: number, cols: number): Matrix {
  return matrix(new Float64Array(rows * cols), rows, cols);
}

export function get(m: Matrix, row: number, col: number): number {
  return m.data[m.offset + row * m.ld + col];
}

export function set(m: Matrix, row: number, col: number, value: number): void {
  m.data[m.offset + row * m.ld + col] = value;
}

/** A dense copy of the view's values, `[rows * cols]`. */
export function dense(m: Matrix): Float64Array {
  const out = new Float64Array(m.rows * m.cols);
  for (let r = 0; r < m.rows; r++) {
    const from = m.offset + r * m.ld;
    out.set(m.data.subarray(from, from + m.cols), r * m.cols);
  }
  return out;
}
