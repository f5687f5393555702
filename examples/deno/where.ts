/**
 * Asks where things are, in Deno: a line for each box as soon as it is found, in pixels of the picture.
 *
 *   deno run --allow-read=node_modules,photo.png where.ts photo.png "the red star" "the green ring"
 */
import { demoModel, load } from 'llava-sp';

const [path, ...phrases] = Deno.args;
if (!path || phrases.length === 0) throw new Error('usage: where.ts IMAGE PHRASE [PHRASE ...]');

// Its threads end with it.
await using model = await load(demoModel);
for await (const { text, x1, y1, x2, y2, score } of model.ground(path, phrases)) {
  console.log(`${text}: ${[x1, y1, x2, y2].map(Math.round).join(' ')} (${(100 * score).toFixed(0)} %)`);
}
