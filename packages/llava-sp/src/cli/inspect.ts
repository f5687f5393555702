import type { InspectedPart, Inspection, Storing } from '@llava-sp/convert';
import type { Flags } from '../cli.ts';
import { interruptSignal } from './model.ts';
import { printTable, sizeText } from './terminal.ts';
import { EXIT, numberOption, UsageError } from './usage.ts';

/** `llava-sp inspect SOURCE`: what a folder or file of weights holds, without reading the weights. */
export async function runInspect(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length !== 1) throw new UsageError(`inspect wants one folder or file, not ${args.length}`);
  const { inspect } = await import('@llava-sp/convert');
  const found = await inspect(args[0], {
    base: flags.base,
    visionTower: flags['vision-tower'],
    context: numberOption('context', flags.context),
    signal: interruptSignal(),
  });
  if (flags.json) console.log(JSON.stringify(found, null, 2));
  else print(found);
  return EXIT.ok;
}

function print({
  location,
  layout,
  variant,
  config,
  tensors,
  leftover,
  parts,
  needs,
  incomplete,
}: Inspection) {
  console.log(`${location}
layout    ${layout}
variant   ${variant}`);
  if (incomplete !== null) console.log(`lacks     ${incomplete}`);
  if (config) console.log(`config    ${JSON.stringify(config)}`);
  console.log('');
  printTable([
    ['tensor', 'dtype', 'shape', 'size', 'file'],
    ...tensors.map(({ name, dtype, shape, bytes, file }) => [
      name,
      dtype,
      `[${shape.join(', ')}]`,
      sizeText(bytes),
      file,
    ]),
  ]);
  if (leftover.length > 0) console.log(`\nnot needed: ${leftover.join(', ')}`);
  if (!needs) return;
  console.log('');
  const ways = Object.keys(needs.weights) as Storing[];
  const line = (name: string, bytes: InspectedPart['bytes'], weights = ''): string[] => [
    name,
    weights,
    ...ways.map((way) => sizeText(bytes[way] ?? 0)),
  ];
  const cache = Object.fromEntries(ways.map((way) => [way, needs.cache]));
  printTable([
    ['on a device', 'weights', ...ways],
    ...parts.map(({ part, weights, bytes }) => line(part, bytes, weights.toLocaleString('en'))),
    line(`KV cache of ${needs.context} tokens`, cache),
    line('all', needs.total),
  ]);
}
