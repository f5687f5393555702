/** Writes parameter structs in the layout that WGSL gives them: 32-bit fields, arrays of vec4 aligned to 16 bytes. */
import { fieldsOf } from './shader.ts';

/** Bytes of a struct of these fields, a multiple of 16. */
export function structBytes(fields: readonly string[]): number {
  let at = 0;
  for (const field of fields) at = place(field, at).end;
  return Math.ceil(at / 16) * 16;
}

/** Fills `view` from `offset` on. Every field must be given. */
export function writeStruct(
  view: DataView,
  offset: number,
  fields: readonly string[],
  values: Readonly<Record<string, number | readonly number[]>>,
): void {
  let at = 0;
  for (const field of fields) {
    const [name, type] = fieldsOf(field);
    const value = values[name];
    const { begin, end } = place(field, at);
    at = end;
    if (value === undefined) throw new Error(`the parameter ${name} is missing`);
    if (typeof value === 'number') {
      if (type === 'f32') view.setFloat32(offset + begin, value, true);
      else view.setUint32(offset + begin, value, true);
    } else value.forEach((item, i) => view.setUint32(offset + begin + 4 * i, item, true));
  }
}

function place(field: string, at: number): { begin: number; end: number } {
  const [, type] = fieldsOf(field);
  const array = /^array<vec4<u32>, (\d+)>$/.exec(type);
  if (!array) return { begin: at, end: at + 4 };
  const begin = Math.ceil(at / 16) * 16;
  return { begin, end: begin + 16 * Number(array[1]) };
}
