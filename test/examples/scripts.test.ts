/** The examples for Node and Deno, run as their heads say. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { node, start } from '../cli/run.ts';
import { deno, root } from '../support/deno.ts';
import { isStar } from '../support/star.ts';

const image = 'examples/images/scene.png';

function expectStar([x1, y1, x2, y2]: readonly number[]): void {
  expect(isStar([x1, y1, x2, y2]), [x1, y1, x2, y2].join(' ')).toBe(true);
}

test('Node: an SVG with the boxes', async () => {
  const script = join(root, 'examples/node/where.ts');
  const phrases = ['the red star', 'the black cross'];
  const { stdout, stderr, code } = await start(node, [script, join(root, image), ...phrases]).done;
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/^the red star: \d+ %\n$/);
  expect(stdout).toMatch(/^<svg .*viewBox="0 0 480 360"/);
  expect(stdout).toContain('</svg>');
  const rects = [...stdout.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/g)];
  expect(rects).toHaveLength(1);
  const [x, y, width, height] = rects[0].slice(1).map(Number);
  expectStar([x, y, x + width, y + height]);
});

test('Node: phrases are text in the SVG, and the picture has its type', async () => {
  const script = join(root, 'examples/node/where.ts');
  const path = join(root, 'examples/images/turned.jpg');
  // Whatever the model makes of odd signs: some of these it finds.
  const phrases = [
    'the <b>yellow & blue</b> ring',
    'the yellow ring &',
    'the yellow ring <b>',
    'the blue square <',
  ];
  const { stdout, stderr, code } = await start(node, [script, path, ...phrases]).done;
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('href="data:image/jpeg;base64,/9j/');
  expect(stdout).toMatch(/>the [^<]*(&amp;|&lt;)[^<]*<\/text>/);
  expect(stdout).not.toMatch(/<b>|& |&<|<</);
});

test('Deno: a line for each box', async () => {
  // In this workspace the packages are links, and Deno asks for where a link leads.
  const read = `--allow-read=node_modules,packages,${image}`;
  const output = await deno([
    'run',
    '--no-prompt',
    '--quiet',
    read,
    'examples/deno/where.ts',
    image,
    'the red star',
  ]);
  const [line, ...others] = output.trim().split('\n');
  expect(others).toEqual([]);
  const [, ...box] = /^the red star: (\d+) (\d+) (\d+) (\d+) \(\d+ %\)$/.exec(line) ?? [];
  expect(box, output).toHaveLength(4);
  expectStar(box.map(Number));
});
