/** The few boxes of an AVIF file that tell the primary picture's size and how to turn it (ISO/IEC 23008-12, AVIF 1.1). */

interface Box {
  type: string;
  /** The content `[begin, end)`, without the box header. */
  begin: number;
  end: number;
}

/**
 * Size and orientation of the primary item. Turning and mirroring come from `irot` and `imir` alone: an EXIF
 * orientation in this format is for information only.
 * @throws RangeError where a box is not as it should be.
 */
export function isoHeader(view: DataView): { width: number; height: number; orientation: number } {
  const meta = find(boxes(view, 0, view.byteLength), 'meta');
  // `meta`, `pitm` and `ipma` are full boxes: a version and 24 flags come first.
  const parts = boxes(view, meta.begin + 4, meta.end);
  const pitm = find(parts, 'pitm');
  const primary =
    view.getUint8(pitm.begin) === 0 ? view.getUint16(pitm.begin + 4) : view.getUint32(pitm.begin + 4);
  const iprp = find(parts, 'iprp');
  const inner = boxes(view, iprp.begin, iprp.end);
  const ipco = find(inner, 'ipco');
  const properties = boxes(view, ipco.begin, ipco.end);
  let size: [number, number] | undefined;
  let angle = 0;
  let mirror: number | undefined;
  for (const ipma of inner.filter((b) => b.type === 'ipma')) {
    for (const index of associations(view, ipma, primary)) {
      const property = properties[index - 1];
      if (property === undefined) continue;
      if (property.type === 'ispe')
        size = [view.getUint32(property.begin + 4), view.getUint32(property.begin + 8)];
      if (property.type === 'irot') angle = view.getUint8(property.begin) & 3;
      if (property.type === 'imir') mirror = view.getUint8(property.begin) & 1;
    }
  }
  if (size === undefined) throw new RangeError('no image size');
  return { width: size[0], height: size[1], orientation: orientationOf(angle, mirror) };
}

/**
 * The EXIF orientation that shows the same: `angle` quarter turns counter-clockwise, then a mirror (0 swaps top
 * and bottom, 1 left and right).
 */
function orientationOf(angle: number, mirror: number | undefined): number {
  if (mirror === undefined) return [1, 8, 3, 6][angle];
  return mirror === 0 ? [4, 5, 2, 7][angle] : [2, 7, 4, 5][angle];
}

/** Boxes side by side in `[begin, end)`. Each is at least its header long, so this ends. */
function boxes(view: DataView, begin: number, end: number): Box[] {
  const list: Box[] = [];
  for (let at = begin; at + 8 <= end;) {
    let size = view.getUint32(at);
    let header = 8;
    const code = view.getUint32(at + 4);
    const type = String.fromCharCode(code >>> 24, (code >>> 16) & 255, (code >>> 8) & 255, code & 255);
    if (size === 1) {
      size = Number(view.getBigUint64(at + 8));
      header = 16;
    } else if (size === 0) {
      size = end - at;
    }
    if (size < header || at + size > end) throw new RangeError(`box ${type} does not fit`);
    list.push({ type, begin: at + header, end: at + size });
    at += size;
  }
  return list;
}

function find(list: Box[], type: string): Box {
  const box = list.find((b) => b.type === type);
  if (box === undefined) throw new RangeError(`no box ${type}`);
  return box;
}

/** The property numbers (from 1) that an `ipma` box ties to an item. */
function associations(view: DataView, ipma: Box, item: number): number[] {
  const version = view.getUint8(ipma.begin);
  const wide = (view.getUint8(ipma.begin + 3) & 1) === 1;
  const entries = view.getUint32(ipma.begin + 4);
  const found: number[] = [];
  let at = ipma.begin + 8;
  for (let i = 0; i < entries && at < ipma.end; i++) {
    const id = version < 1 ? view.getUint16(at) : view.getUint32(at);
    at += version < 1 ? 2 : 4;
    const count = view.getUint8(at++);
    for (let k = 0; k < count; k++, at += wide ? 2 : 1) {
      // The top bit says whether the property is essential.
      if (id === item) found.push(wide ? view.getUint16(at) & 0x7fff : view.getUint8(at) & 0x7f);
    }
  }
  return found;
}
