/**
 * The model that ships, with its int4 weights, on scenes that training never saw: it must be as good as the figures of a
 * thousand scenes in packages/demo-model/int4.json say (`npm run eval:demo`). The sixty scenes here can't tell a point more or
 * less, so a group may fall short by chance: three standard deviations of so many questions.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseBoxes } from '@llava-sp/node';
import { describe, expect, test } from 'vitest';
import { groups, score } from '../../packages/demo-model/eval.ts';
import { evaluate } from '../bench/demo_model.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** By group, in percent. */
const figures = JSON.parse(readFileSync(`${root}packages/demo-model/int4.json`, 'utf8')) as {
  name: string;
  int4: number;
}[];

describe('the demo model', () => {
  test('is as good as its figures on the committed scenes', async () => {
    const tally = await evaluate({ folder: `${root}packages/demo-model/testset` });
    expect(figures.map(({ name }) => name)).toEqual(Object.keys(groups));
    for (const { name: group, int4 } of figures) {
      const counts = groups[group].map((task) => tally.get(task) ?? { right: 0, asked: 0 });
      const asked = counts.reduce((sum, count) => sum + count.asked, 0);
      const right = counts.reduce((sum, count) => sum + count.right, 0);
      const slack = 3 * Math.sqrt((int4 * (100 - int4)) / asked);
      console.log(
        `${group}: ${right} of ${asked}, ${int4.toFixed(1)} % of a thousand scenes, floor ${(int4 - slack).toFixed(1)} %`,
      );
      expect(asked, group).toBeGreaterThan(0);
      expect((100 * right) / asked, group).toBeGreaterThanOrEqual(int4 - slack);
    }
  });

  test('finds the red star of the README', async () => {
    const args = [
      'packages/llava-sp/dist/cli.js',
      'ask',
      'examples/images/scene.png',
      'Where is the red star?',
    ];
    const { stdout } = await run(process.execPath, args, { cwd: root });
    // In pixels of the 480 x 360 picture the star spans 296..404 x 58..165; the picture is padded by 60 above.
    const box = [296 / 480, (58 + 60) / 480, 404 / 480, (165 + 60) / 480] as const;
    expect(parseBoxes(stdout)).toHaveLength(1);
    expect(score('where', stdout, { answer: '', box }), stdout).toBe(true);
  });

  test('sees a turned JPEG upright, and other formats and ratios', async () => {
    for (const [file, question] of [
      ['turned.jpg', 'How many objects are there?'],
      ['tall.png', 'Describe the image.'],
      ['wide.webp', 'Describe the image.'],
    ]) {
      const args = ['packages/llava-sp/dist/cli.js', 'ask', `examples/images/${file}`, question];
      const { stdout } = await run(process.execPath, args, { cwd: root });
      expect(stdout.trim(), file).not.toBe('');
    }
  });
});
