import { cache } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { EXIT, UsageError } from './usage.ts';

/** `llava-sp cache [list]` and `llava-sp cache delete NAME`: the models that were downloaded. */
export async function runCache(args: readonly string[], flags: Flags): Promise<number> {
  const [action = 'list', ...names] = args;
  if (action === 'list' && names.length === 0) {
    const models = await cache.list();
    const bytes = models.reduce((sum, model) => sum + model.bytes, 0);
    if (flags.json) {
      console.log(JSON.stringify({ location: cache.location, bytes, models }, null, 2));
      return EXIT.ok;
    }
    for (const model of models) {
      console.log(
        `${mb(model.bytes).padStart(12)}  ${model.name}${model.complete ? '' : '  (not whole yet)'}`,
      );
    }
    console.log(`${mb(bytes).padStart(12)}  in ${cache.location}`);
    return EXIT.ok;
  }
  if (action === 'delete' && names.length === 1) {
    const bytes = await cache.delete(names[0]);
    if (flags.json) console.log(JSON.stringify({ bytes }));
    else console.log(`${mb(bytes)} came free`);
    return EXIT.ok;
  }
  throw new UsageError('cache wants nothing, list, delete NAME or delete all');
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
