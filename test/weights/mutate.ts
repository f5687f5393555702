/** Damages files the way disks, networks and people do. Everything comes from the given random numbers. */
export type Random = () => number;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const extremes: Json[] = [
  null,
  true,
  '',
  'constructor',
  '../../etc/passwd',
  'x'.repeat(2000),
  '\uD800',
  0,
  -1,
  0.5,
  1e9,
  2 ** 31,
  2 ** 53,
  1e15,
  1e308,
  -1e308,
  1e-320,
  [],
  {},
  [[[[]]]],
  [1e9, 1e9],
  { content: 5 },
];

/** A few bytes changed, removed, put in, moved, or the end cut off. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let result = Array.from(bytes);
  const place = () => Math.floor(random() * (result.length + 1));
  const times = 1 + Math.floor(random() * 4);
  for (let i = 0; i < times; i++) {
    const at = place();
    switch (Math.floor(random() * 6)) {
      case 0:
        result[at] = Math.floor(random() * 256);
        break;
      case 1:
        result[at] = (result[at] ?? 0) ^ (1 << Math.floor(random() * 8));
        break;
      case 2:
        result.splice(at, 1 + Math.floor(random() * 8));
        break;
      case 3:
        result.splice(at, 0, ...result.slice(place(), place()).slice(0, 64));
        break;
      case 4:
        result.splice(at, 0, Math.floor(random() * 256));
        break;
      default:
        if (random() < 0.3) result = result.slice(0, at);
    }
  }
  return Uint8Array.from(result, (byte) => byte ?? 0);
}

/** One to three values of a JSON document replaced, removed, renamed, scaled or exchanged. */
export function mutateJson(document: unknown, random: Random): unknown {
  const root = { '': structuredClone(document) as Json };
  const times = 1 + Math.floor(random() * 3);
  for (let i = 0; i < times; i++) mutateOne(root, random);
  return root[''];
}

interface Place {
  parent: { [key: string]: Json } | Json[];
  key: string;
}

function mutateOne(root: { [key: string]: Json }, random: Random): void {
  const places = collect(root);
  const pick = (): Place => places[Math.floor(random() * places.length)];
  const { parent, key } = pick();
  const value = (parent as { [key: string]: Json })[key];
  const set = (next: Json): void => {
    (parent as { [key: string]: Json })[key] = next;
  };
  switch (Math.floor(random() * 7)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else if (key !== '') delete parent[key];
      break;
    case 1: {
      const other = pick();
      set(structuredClone((other.parent as { [key: string]: Json })[other.key]));
      break;
    }
    case 2:
      if (!Array.isArray(parent) && key !== '') {
        delete parent[key];
        parent[random() < 0.5 ? `${key}x` : '__proto__x'] = value;
      }
      break;
    case 3:
      if (typeof value === 'number') {
        set(
          [value + 1, value - 1, value * 2, -value, value * 1e6, value / 3, String(value)][
            Math.floor(random() * 7)
          ],
        );
      }
      break;
    case 4:
      set(Array.from({ length: Math.floor(random() * 5) }, () => structuredClone(value)));
      break;
    default:
      set(structuredClone(extremes[Math.floor(random() * extremes.length)]));
  }
}

function collect(root: Json, places: Place[] = []): Place[] {
  if (typeof root !== 'object' || root === null) return places;
  for (const [key, value] of Object.entries(root)) {
    places.push({ parent: root, key });
    collect(value, places);
  }
  return places;
}
