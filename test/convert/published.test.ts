/**
 * Published checkpoints beyond a plain conversion to f16: quantised, MLX's own folder as it is, the older form of an
 * adapter, SentencePiece's tokenizer, and what is said of checkpoints that do not fit together.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { convert, type Quantisation } from '../../packages/convert/src/index.ts';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { createReference } from '../../packages/core/src/reference/backend.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { readGolden } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';
import { convertPublished, publishedParts } from '../support/published.ts';
import { answerOf, stageErrors, STEPS, type StageError } from '../support/round_trip.ts';

const root = new URL('../golden/published/', import.meta.url);
const pathOf = (path: string): string => fileURLToPath(new URL(path, root));

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'llava-sp-convert-'));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

const openWasm = () => createWasm(createTestHost(), { variant: 'relaxed', threads: 1, poison: true });

/** Of the stages before the decoder, and of the first step's logits. */
function worst(errors: readonly StageError[]): { vision: number; logits: number } {
  const of = (wanted: (what: string) => boolean) =>
    Math.max(...errors.filter(({ what }) => wanted(what)).map(({ error }) => error));
  return { vision: of((what) => !what.startsWith('logits')), logits: of((what) => what === 'logits 0') };
}

// Of each stage's largest value. Random weights of width 32 are the worst case, as errors hardly average out; weights in a
// wrong order, or codes with another tensor's scales, are off by more than 1.
describe('quantised', () => {
  const q8: Partial<Quantisation> = { llm: 'q8', sfe: 'q8', detail: 'q8', group: 32 };

  test.each(['lora-cropping', 'siglip-qwen2', 'transformer-sfe'])('%s in q8', async (name) => {
    const { model, ...converted } = await convertPublished(name, q8);
    try {
      const { vision, logits } = worst((await stageErrors(await openWasm(), model)).errors);
      expect(vision).toBeLessThan(0.08);
      expect(logits).toBeLessThan(0.25);
    } finally {
      await converted.remove();
    }
  });

  test.each([
    'lora-cropping',
    'lora-pooling',
    'llava-next',
    'internvl2-sp',
    'siglip-qwen2',
    'transformer-sfe',
  ])('%s by the defaults, q4 and q8', async (name) => {
    const { model, ...converted } = await convertPublished(name, {});
    try {
      const { vision } = worst((await stageErrors(await openWasm(), model)).errors);
      expect(vision).toBeLessThan(0.5);
      const { text, usage } = await answerOf(model.folder, name, model.golden.question);
      expect(text).not.toBe('');
      expect(usage.completionTokens).toBeGreaterThan(0);
    } finally {
      await converted.remove();
    }
  });
});

describe.each(['mlx-q4', 'mlx-q4-all'])('a folder that MLX quantised: %s', (name) => {
  const folder = new URL(`${name}/model/`, root);
  const read = async () => {
    const { golden, stages } = await readGolden(name, new URL(`${name}/golden/`, root));
    const config = parseModelConfig(JSON.parse(await readFile(new URL('config.json', folder), 'utf8')));
    return { name, golden, stages, config, folder };
  };

  test('is read as the values that its codes stand for', async () => {
    const model = await read();
    const { errors, tokens } = await stageErrors(createReference({ activationRounding: false }), model);
    expect(errors.length).toBeGreaterThanOrEqual(STEPS + 4);
    expect(errors.filter(({ error }) => !(error < 1e-4))).toEqual([]);
    expect(tokens).toEqual(model.golden.greedy_tokens);
  });

  test('loads and answers', async () => {
    const model = await read();
    // Activations are rounded to int8 at run time.
    const error = worst((await stageErrors(await openWasm(), model)).errors);
    expect(error.vision).toBeLessThan(0.08);
    expect(error.logits).toBeLessThan(0.25);
    const { usage } = await answerOf(folder, name, model.golden.question);
    expect(usage.completionTokens).toBe(STEPS);
  });
});

test('the older form of an adapter gives the same bytes', async () => {
  const { checkpoint, ...parts } = await publishedParts('lora-cropping');
  const older = join(scratch, 'adapter');
  await cp(checkpoint, older, { recursive: true });
  await rm(join(older, 'adapter_model.safetensors'));
  await cp(pathOf('lora-cropping/adapter-bin'), older, { recursive: true });
  expect(await readdir(older)).toContain('adapter_model.bin');
  const [a, b] = [
    await convert({ checkpoint, ...parts, out: join(scratch, 'a'), threads: 1 }),
    await convert({ checkpoint: older, ...parts, out: join(scratch, 'b'), threads: 1 }),
  ];
  expect(b.shards).toEqual(a.shards);
  expect(a.leftover).toEqual(b.leftover);
});

test("texts have SentencePiece's ids and come back as its text", async () => {
  const { model, ...converted } = await convertPublished('lora-cropping');
  try {
    const json = async (url: URL): Promise<unknown> => JSON.parse(await readFile(url, 'utf8'));
    const tokenizer = createTokenizer(
      await json(new URL('tokenizer.json', model.folder)),
      await json(new URL('tokenizer_config.json', model.folder)),
    );
    const golden = (await json(new URL('sentencepiece.json', root))) as {
      cases: { text: string; ids: number[]; decoded: string }[];
    };
    expect(golden.cases.length).toBeGreaterThanOrEqual(50);
    for (const { text, ids, decoded } of golden.cases) {
      // SentencePiece takes special tokens in a text for plain characters, as `escape` has it.
      expect(tokenizer.encode(tokenizer.escape(text)), JSON.stringify(text)).toEqual(ids);
      const detokenizer = tokenizer.detokenizer();
      expect(ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush()).toBe(decoded);
    }
  } finally {
    await converted.remove();
  }
});

describe('parts that do not fit together are refused by name', () => {
  const out = () => join(scratch, 'out');

  test('an adapter without its base', async () => {
    const { checkpoint, visionTower } = await publishedParts('lora-cropping');
    await expect(convert({ checkpoint, visionTower, out: out() })).rejects.toMatchObject({
      code: 'MODEL_FILE_MISSING',
      message: expect.stringMatching(/adapter/) as string,
    });
  });

  test('no vision tower anywhere', async () => {
    const { checkpoint, base } = await publishedParts('lora-cropping');
    await expect(convert({ checkpoint, base, out: out() })).rejects.toMatchObject({
      message: expect.stringMatching(/vision/i) as string,
    });
  });

  test('an adapter of another base', async () => {
    const { checkpoint, visionTower } = await publishedParts('lora-cropping');
    const base = pathOf('siglip-qwen2/model');
    await expect(convert({ checkpoint, visionTower, base, out: out() })).rejects.toMatchObject({
      code: 'ADAPTER_INVALID',
    });
  });

  test('a tensor that is missing', async () => {
    const { checkpoint, visionTower } = await publishedParts('merged-cropping');
    const broken = join(scratch, 'model');
    await cp(checkpoint, broken, { recursive: true });
    for (const file of await readdir(broken)) {
      if (!/safetensors/.test(file)) continue;
      const bytes = await readFile(join(broken, file), 'latin1');
      await writeFile(
        join(broken, file),
        bytes.replaceAll('mm_projector.2.bias', 'mm_projector.2.blas'),
        'latin1',
      );
    }
    await expect(convert({ checkpoint: broken, visionTower, out: out() })).rejects.toMatchObject({
      code: 'WEIGHTS_MISSING',
      message: expect.stringMatching(/multi_modal_projector\.linear_2\.bias|mm_projector\.2\.bias/) as string,
    });
  });

  test('what nothing needs is listed', async () => {
    const { checkpoint, base, visionTower } = await publishedParts('lora-cropping');
    const { leftover } = await convert({ checkpoint, base, visionTower, out: out(), threads: 1 });
    const matching = (pattern: RegExp) => leftover.filter((name) => pattern.test(name)).length;
    expect(matching(/^(vision_tower\.)?text_model\./)).toBeGreaterThan(10);
    expect(matching(/encoder\.layers\.2\./)).toBeGreaterThan(0);
    expect(matching(/conv_|mm_projector|lora/)).toBe(0);
  });
});
