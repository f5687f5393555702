import { relative, sep } from 'node:path';
import type { Box } from '@llava-sp/node';
import type { Failure, Report } from './report.ts';
import { pathOf } from './run.ts';
import type { Task } from './types.ts';

/** A page with the pictures of a report's failures: the true boxes are green, those that were found are red. It loads nothing else. */
export async function failuresPage(report: Report, tasks: readonly Task[], out: string): Promise<string> {
  const parts: string[] = [];
  for (const { name, failures } of report.tasks) {
    const task = tasks.find((one) => one.name === name);
    if (!task || failures.length === 0) continue;
    const figures: string[] = [];
    for (const failure of failures) {
      const path = await pathOf(task.images, failure.image);
      figures.push(figureOf(failure, addressOf(relative(out, path))));
    }
    parts.push(`<h2>${escape(name)}</h2>\n${figures.join('\n')}`);
  }
  const title = escape(`${report.benchmark}: ${report.model.name}`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; }
figure { display: inline-block; vertical-align: top; width: 260px; margin: 0 1em 1em 0; }
figure div { position: relative; }
img { display: block; width: 100%; }
svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: none; stroke: #d11; stroke-width: 2; vector-effect: non-scaling-stroke; }
.truth { stroke: #0a3; }
</style>
<h1>${title}</h1>
<p>What was wrong, the first of each task. Green: the truth. Red: the model.</p>
${parts.length > 0 ? parts.join('\n') : '<p>Nothing.</p>'}
</html>
`;
}

function figureOf({ prompt, answer, truth, found, boxes, size }: Failure, address: string): string {
  const rects = [...boxes.map((box) => rectOf(box, 'truth')), ...found.map((box) => rectOf(box, 'found'))];
  const overlay =
    size === null || rects.length === 0
      ? ''
      : `<svg viewBox="0 0 ${size.width} ${size.height}" preserveAspectRatio="none">${rects.join('')}</svg>`;
  const picture = `<div><img src="${escape(address)}" alt="">${overlay}</div>`;
  const lines = [prompt, `said: ${answer}`, `true: ${truth}`].map(escape).join('<br>');
  return `<figure>${picture}<figcaption>${lines}</figcaption></figure>`;
}

function rectOf([x1, y1, x2, y2]: Box, kind: string): string {
  return `<rect class="${kind}" x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}"/>`;
}

/** A path as an address relative to the page. */
function addressOf(path: string): string {
  return path.split(sep).map(encodeURIComponent).join('/');
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
}
