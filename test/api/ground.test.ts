/** Boxes in source pixels: ground, describe and caption of every family, through the built package. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type GroundedBox, type Model } from '@llava-sp/node';
import { BoxReader } from '../../packages/core/src/api/tasks/ground.ts';
import { describePrompt, groundPrompt } from '../../packages/core/src/api/tasks/prompts.ts';
import { parseModelConfig, type TasksConfig } from '../../packages/core/src/models/config.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { Constraints } from '../../packages/core/src/text/constraint/index.ts';
import { iou } from '../../packages/llava-sp/src/eval/metrics/boxes.ts';
import { figuresOf, groundSet, type GroundFigures } from '../bench/ground.ts';
import { floorOf } from '../support/demo_figures.ts';
import { demoSet } from '../support/demo_set.ts';
import { convertPublished, type Converted } from '../support/published.ts';
import { modelPath } from '../support/models.ts';
import { loadInWorker } from '../support/remote.ts';
import { byteLevelFiles, readJson } from '../text/tokenizers.ts';

/** Of 229 x 229 pixels: a white and a yellow cross, an orange square. */
const image = fileURLToPath(new URL('../support/crosses_and_square.png', import.meta.url));
const SQUARE = [112.5, 9.9, 191.3, 88.7] as const;

describe.each<[string, () => Promise<Model>]>([
  ['in this thread', () => load(modelUrl, { threads: 1 })],
  ['behind a worker', () => loadInWorker(modelUrl.href, { threads: 1 })],
])('the demo model %s', (_where, open) => {
  let model: Model;
  beforeAll(async () => {
    model = await open();
  });
  afterAll(() => model.dispose());

  test('one phrase: its box, in pixels of the source', async () => {
    const { boxes } = await model.ground(image, 'the orange square');
    expect(boxes).toHaveLength(1);
    const [box] = boxes;
    expect(box.text).toBe('the orange square');
    expect(iou([box.x1, box.y1, box.x2, box.y2], SQUARE)).toBeGreaterThan(0.5);
    expect(box.score).toBeGreaterThan(0.1);
    expect(box.score).toBeLessThanOrEqual(1);
  });

  test('several phrases come one after another; what is not there has none', async () => {
    const phrases = ['yellow cross', 'green heart', 'the orange square'];
    const seen: GroundedBox[] = [];
    const grounding = model.ground(image, phrases);
    for await (const box of grounding) seen.push(box);
    expect(seen.map(({ text }) => text)).toEqual(['yellow cross', 'the orange square']);
    expect(await grounding).toEqual({ boxes: seen });
    expect(await model.ground(image, [])).toEqual({ boxes: [] });
    // Every one of them is left out by so high a threshold.
    expect(await model.ground(image, phrases, { threshold: 1 })).toEqual({ boxes: [] });
  });

  test('a scene, and a region of it described', async () => {
    using scene = await model.look(image);
    const { boxes } = await scene.ground(['the yellow cross']);
    const described = await scene.describe(boxes[0]).text();
    expect(described).toContain('cross');
    expect(await model.describe(image, boxes[0]).text()).toBe(described);
    const caption = await scene.caption().text();
    expect(caption).toContain('cross');
    const prompts = model.info.config.tasks.caption;
    expect(caption).toBe(await scene.ask(prompts.short).text());
    const detailed = await model.caption(image, { length: 'detailed' }).text();
    expect(detailed).toBe(await scene.ask(prompts.detailed).text());
  });

  test('a break, cancel and a signal stop it', async () => {
    const phrases = Array.from({ length: 40 }, () => 'yellow cross');
    for await (const box of model.ground(image, phrases)) {
      expect(box.text).toBe('yellow cross');
      break;
    }
    const cancelled = model.ground(image, phrases);
    cancelled.cancel();
    expect((await cancelled).boxes.length).toBeLessThan(40);
    const controller = new AbortController();
    const aborted = model.ground(image, phrases, { signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await model.ground(image, 'yellow cross')).boxes).toHaveLength(1);
  });

  test('what can not be asked is refused', async () => {
    await expect(model.ground(image, ' ')).rejects.toMatchObject({ code: 'PROMPT_EMPTY' });
    for (const phrases of [3, null, [1]])
      await expect(model.ground(image, phrases as unknown as string)).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      });
    for (const threshold of [2, NaN, '0.5' as never, null as never])
      await expect(model.ground(image, 'a', { threshold })).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      });
    await expect(model.ground('nowhere.png', 'a')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    for (const box of [
      { x1: 5, y1: 0, x2: 5, y2: 9 },
      { x1: 300, y1: 0, x2: 400, y2: 9 },
      { x1: NaN, y1: 0, x2: 4, y2: 9 },
      { x1: '0', y1: '0', x2: '40', y2: '40' },
      { x1: 0, y1: 0, x2: 40 },
      null,
    ])
      await expect(model.describe(image, box as unknown as GroundedBox).text()).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      });
    const wrong = { length: 'long' as 'short' };
    await expect(model.caption(image, wrong).text()).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });
});

test('the committed set: everything parses, and boxes are as good as without a constraint', async () => {
  const figures = figuresOf(await groundSet({ folder: demoSet, threads: 1 }));
  const { present, absent, right, rightUnconstrained } = figures;
  expect(figures.parsed).toBe(1);
  // Greedy: an answer that can be read without the constraint is the same with it.
  expect(right).toBeGreaterThanOrEqual(rightUnconstrained);
  expect(right).toBeGreaterThanOrEqual(floorOf('refcoco', 'IoU >= 0.5', present));
  expect(figures.absentRecognised).toBeGreaterThanOrEqual(floorOf('refcoco', 'not there', absent));
}, 120_000);

test('the figures of a larger set: every output parses, no fewer boxes are right, and README.md says so', () => {
  const file = new URL('../bench/results/ground-demo.json', import.meta.url);
  const figures = JSON.parse(readFileSync(file, 'utf8')) as GroundFigures;
  expect(figures.parsed).toBe(1);
  expect(figures.right).toBeGreaterThanOrEqual(figures.rightUnconstrained);
  expect(figures.absentRecognised).toBeGreaterThanOrEqual(figures.absentRecognisedUnconstrained);
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').replace(/\s+/g, ' ');
  expect(readme).toContain(
    `100 % of ${(figures.present + figures.absent).toLocaleString('en')} outputs parse, ` +
      `${percent(figures.right)} of boxes are right (${percent(figures.rightUnconstrained)} unconstrained), ` +
      `${percent(figures.absentRecognised)} of absent things are recognised`,
  );
});

test('a model that was never trained to still writes boxes that can be read, inside the picture', async () => {
  const model = await load(modelPath('cropping'), { threads: 1 });
  try {
    const data = Uint8Array.from({ length: 90 * 40 * 3 }, (_, i) => (i * 37) % 251);
    const picture = { data, width: 90, height: 40 };
    const [unit, free] = [{ boxes: 'unit' }, { regex: String.raw`\[0\.\d\d(?:, 0\.\d\d){3}\]` }] as const;
    const text = await model
      .ask(picture, 'Where?', { format: unit, temperature: 3, seed: 1, maxTokens: 80 })
      .text();
    expect(text.replace(/\[(?:[01](?:\.\d{1,3})?(?:, ?|(?=\]))){4}\]/g, '')).not.toMatch(/\[.*\]/);
    const box = model.ask(picture, 'Where?', { format: free, temperature: 3, seed: 2, probabilities: true });
    expect(await box.text()).toMatch(/^\[/);
    expect(box.picture).toMatchObject({ width: 90, height: 40 });
  } finally {
    await model.dispose();
  }
});

describe.each([
  ['internvl2', 'thousandths'],
  ['llava-next', 'unit'],
  ['llava-hf-new', 'unit'],
] as const)('%s', (name, boxes) => {
  let converted: Converted;
  let model: Model;
  beforeAll(async () => {
    converted = await convertPublished(name);
    model = await load(converted.model.folder, { threads: 1 });
  }, 60_000);
  afterAll(async () => {
    await model?.dispose();
    await converted?.remove();
  });

  test('is asked in its own words, and what it draws lies in the picture', async () => {
    expect(model.info.config.tasks.boxes).toBe(boxes);
    const [width, height] = [120, 70];
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 53) % 241);
    const picture = { data, width, height };
    // Weights that know nothing: only what any answer must hold can be asked of it.
    const grounding = await model.ground(picture, 'the red <box> star', { threshold: 0, maxTokens: 40 });
    for (const { x1, y1, x2, y2 } of grounding.boxes) {
      expect(x1 >= 0 && x1 < x2 && x2 <= width && y1 >= 0 && y1 < y2 && y2 <= height).toBe(true);
    }
    const text = await model.describe(picture, { x1: -5, y1: 10, x2: 60, y2: 500 }, { maxTokens: 4 }).text();
    expect(typeof text).toBe('string');
  });
});

describe('prompts', () => {
  const geometry = {
    ...{ sourceWidth: 200, sourceHeight: 100, canvasWidth: 200, canvasHeight: 200, offsetX: 0, offsetY: 50 },
    ...{ resizedWidth: 20, resizedHeight: 20, cropX: 0, cropY: 0, width: 20, height: 20 },
  };
  const tasks = (prompts: object, type = 'clip_vision_model'): TasksConfig => {
    const json = readJson(new URL('../golden/cropping/config.json', import.meta.url));
    expect((json.vision_config as { model_type: string }).model_type).toBe(type);
    return parseModelConfig({ ...json, task_prompts: prompts }).tasks;
  };

  test('of LLaVA, of InternVL, and of the configuration', () => {
    const llava = tasks({});
    expect(groundPrompt(llava, 'the red star')).toBe(
      'Please provide the bounding box coordinate of the region this sentence describes: the red star',
    );
    expect(describePrompt(llava, [0, 0, 200, 50], geometry)).toBe(
      'Please provide a short description for this region: [0.00, 0.25, 1.00, 0.50]',
    );
    const own = tasks({ ground: 'Where is the {phrase}?', caption: { short: 'Say.' } });
    expect(groundPrompt(own, 'the red star')).toBe('Where is the red star?');
    expect(groundPrompt(own, 'A $& star ')).toBe('Where is the $& star?');
    expect(own.caption).toEqual({ short: 'Say.', detailed: 'Describe this image in detail.' });
    const intern: TasksConfig = { ...llava, boxes: 'thousandths', ground: 'Where is <ref>{phrase}</ref>' };
    expect(groundPrompt(intern, 'a </ref> star')).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Where is ' },
          { type: 'special', text: '<ref>' },
          { type: 'text', text: 'a </ref> star' },
          { type: 'special', text: '</ref>' },
          { type: 'text', text: '' },
        ],
      },
    ]);
    const whole = { ...geometry, canvasHeight: 100, offsetY: 0, resizedHeight: 20 };
    expect(describePrompt(intern, [0, 0, 100, 50], whole)).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Please provide a short description for this region: ' },
          { type: 'special', text: '<box>' },
          { type: 'text', text: '[[0, 0, 500, 500]]' },
          { type: 'special', text: '</box>' },
          { type: 'text', text: '' },
        ],
      },
    ]);
  });

  test.each([{ ground: 'Where is it?' }, { describe: 3 }, { caption: { short: '' } }, 'none'])(
    'task_prompts that are none: %j',
    (prompts) => {
      expect(() => tasks(prompts as object)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    },
  );
});

describe('reading boxes as they come', () => {
  const read = (format: 'unit' | 'thousandths', tokens: [string, number][]) => {
    const reader = new BoxReader(format);
    return tokens.map(([text, probability]) => reader.take({ text, probability }));
  };

  test('each with its last bracket, scored by its digits alone', () => {
    const found = read('unit', [
      ['At ', 0.1],
      ['[', 0.1],
      ['0.1', 0.8],
      [', ', 0.1],
      ['0.2', 0.6],
      [', 0.3, 0.4', 0.4],
      [']', 0.1],
      [' and', 0.1],
    ]);
    expect(found.map(({ length }) => length)).toEqual([0, 0, 0, 0, 0, 0, 1, 0]);
    expect(found[6][0].box).toEqual([0.1, 0.2, 0.3, 0.4]);
    expect(found[6][0].score).toBeCloseTo(0.6);
  });

  test('brackets and boxes that share tokens', () => {
    const [, found] = read('unit', [
      ['[0.1, 0.1, 0.2', 1],
      [', 0.2][0.3, 0.3, 0.4, 0.4]', 0.5],
    ]);
    expect(found.map(({ box }) => box[0])).toEqual([0.1, 0.3]);
    expect(found.map(({ score }) => score)).toEqual([0.75, 0.5]);
  });

  test("InternVL's lists", () => {
    const found = read('thousandths', [
      ['[[', 1],
      ['100, 200, 300, 400', 0.5],
      ['], [', 1],
      ['0, 0, 1000, 1000', 0.7],
      [']]', 1],
    ]).flat();
    expect(found).toEqual([
      { box: [0.1, 0.2, 0.3, 0.4], score: 0.5 },
      { box: [0, 0, 1, 1], score: 0.7 },
    ]);
  });
});

test("InternVL's tags are tokens of the answer, though they write nothing", () => {
  const { json, config } = byteLevelFiles();
  const tags = ['<ref>', '</ref>', '<box>', '</box>'].map((content, i) => ({
    id: 320 + i,
    content,
    special: true,
    normalized: false,
  }));
  const tokenizer = createTokenizer(
    { ...json, added_tokens: [...(json.added_tokens as object[]), ...tags] },
    config,
  );
  const walk = new Constraints(tokenizer, 324, [1]).of({ boxes: 'thousandths' }).walk();
  const answer = [
    320,
    ...tokenizer.encode('star'),
    321,
    322,
    ...tokenizer.encode('[[10, 200, 1000, 999], [1, 2, 3, 4]]'),
    323,
    1,
  ];
  for (const id of answer) {
    expect((walk.allowed()[id >> 5] >>> (id & 31)) & 1, `${id} ${tokenizer.token(id)}`).toBe(1);
    if (id !== 1) walk.take(id);
  }
  const free = new Constraints(tokenizer, 324, [1]).of({ regex: '[\\s\\S]*' }).walk().allowed();
  expect((free[10] >>> 0) & 0b1111).toBe(0);
});
