/** What `npm run bench:quant` asks and prints. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporary } from '../download/folder.ts';
import { demoSet } from '../support/demo_set.ts';
import { root } from '../support/deno.ts';
import { deltas, markdown, readTasks, runVariants, variantsOf, type Scored } from './quant.ts';

const scored = (name: string, texts: readonly string[]): Scored => ({
  name,
  bytes: 1e6,
  error: name === 'float32' ? 0 : 0.08,
  answers: texts.map((text, i) => ({
    group: i < 2 ? 'count' : 'pope',
    text,
    points: text === 'right' ? 1 : 0,
  })),
});

describe('bench:quant', () => {
  it('has each part in each format, all of them, and the default', () => {
    const names = variantsOf(['llm', 'vision'], ['q8-64', 'q4-32-c'], 2).map(({ name }) => name);
    const parts = ['llm q8-64', 'llm q4-32-c', 'vision q8-64', 'vision q4-32-c', 'all q8-64', 'all q4-32-c'];
    expect(names).toEqual(['float32', ...parts, 'default', 'default-c']);
    const [, , one] = variantsOf(['llm', 'vision'], ['q8-64', 'q4-32-c'], 2);
    expect(one).toMatchObject({ calibrated: true, quantisation: { llm: 'q4', vision: 'f32', group: 32 } });
    expect(() => variantsOf(['llm'], ['q5-32'], 2)).toThrow(/q5-32/);
  });

  it('scores a folder that is stored already beside the model', async () => {
    const work = await temporary();
    onTestFinished(() => work.remove());
    const folder = join(root, 'packages/demo-model/model');
    const model = join(root, 'test/golden/cropping');
    const tasks = await readTasks(demoSet, 1);
    const stored = { name: 'a name / of it', quantisation: null, calibrated: false, folder };
    const [one] = await runVariants([stored], { model, tasks, work: work.path, calibration: [], threads: 1 });
    expect(one.bytes).toBe((await stat(join(folder, 'model.safetensors'))).size);
    expect(one.answers).toHaveLength(tasks.reduce((sum, { items }) => sum + items.length, 0));
    // The golden model, which `model` is, has learned nothing.
    expect(one.answers.some(({ points }) => points === 1)).toBe(true);
  });

  it('counts against float32, in points, with the standard error of what changed', () => {
    const lines = deltas([
      scored('float32', ['right', 'right', 'right', 'wrong']),
      scored('all q4-64', ['right', 'wrong', 'right', 'other']),
    ]);
    expect(lines[0]).toMatchObject({ right: 75, delta: 0, changed: 0, groups: { count: 100, pope: 50 } });
    expect(lines[1]).toMatchObject({ right: 50, delta: -25, standardError: 25, changed: 50 });
    expect(lines[1].groups).toEqual({ count: -50, pope: 0 });
    expect(markdown(lines).split('\n')).toEqual([
      '| stored | MB | error | all | ± | changed | count | pope |',
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
      '| float32 | 1.00 |  | 75.0 % |  |  | 100.0 % | 50.0 % |',
      '| all q4-64 | 1.00 | 8.0e-2 | -25.0 | 25.0 | 50.0 % | -50.0 | 0.0 |',
    ]);
  });
});
