/**
 * Asks where things are, and draws the boxes: an SVG of the picture on stdout.
 *
 *   npm run example -- examples/images/scene.png "the red star" "the green ring" > scene.svg
 */
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { demoModel, load } from 'llava-sp';

const [path, ...phrases] = process.argv.slice(2);
if (!path || phrases.length === 0) throw new Error('usage: where.ts IMAGE PHRASE [PHRASE ...]');

const model = await load(demoModel);
// The picture is encoded once; each phrase costs only its own tokens.
const scene = await model.look(path);
const drawn: string[] = [];
// Boxes come one by one, in pixels of the picture.
for await (const { text, x1, y1, x2, y2, score } of scene.ground(phrases)) {
  console.error(`${text}: ${(100 * score).toFixed(0)} %`);
  drawn.push(
    `<rect x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}" fill="none" stroke="black" stroke-width="3"/>`,
    `<text x="${x1}" y="${y1 - 6}" font-family="sans-serif" font-size="14">${escape(text)}</text>`,
  );
}
const data = (await readFile(path)).toString('base64');
const type = extname(path).slice(1).toLowerCase().replace('jpg', 'jpeg');
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${scene.width} ${scene.height}" width="${scene.width}">
<image href="data:image/${type};base64,${data}" width="${scene.width}" height="${scene.height}"/>
${drawn.join('\n')}
</svg>`);
await model.dispose();

/** Text within XML. */
function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
