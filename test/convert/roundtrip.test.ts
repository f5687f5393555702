/**
 * Every published layout, as torch.save, peft, save_pretrained and MLX write it, through `convert` and `load`: the prompt,
 * every stage, the 32 tokens and the answer are those of Hugging Face transformers and the transcription of the
 * specification. The published values are exact in float16, so that a conversion to f16 must meet the goldens within what
 * float32 arithmetic leaves: 1e-4 of a stage's largest value.
 *
 * The stages of the other layouts are in test/models/published.test.ts.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { assemblePrompt, createChatTemplate } from '../../packages/core/src/text/chat.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { readGolden } from '../support/golden.ts';
import { stageOf } from '../support/golden_model.ts';
import { createTestHost } from '../support/host.ts';
import { convertPublished, type Converted } from '../support/published.ts';
import { answerOf, stageErrors, STEPS } from '../support/round_trip.ts';

const LIMIT = 1e-4;
const root = new URL('../golden/published/', import.meta.url);

const jsonOf = async (folder: URL, file: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(file, folder), 'utf8'));

const layouts: [string, string, stages?: 'stages'][] = [
  ['LoRA on Vicuna, cropping with DFI', 'lora-cropping', 'stages'],
  ['LoRA on Vicuna, pooling', 'lora-pooling', 'stages'],
  ['merged, the tower inside', 'merged-cropping', 'stages'],
  ['llava-hf as published', 'llava-hf-old', 'stages'],
  ['llava-hf, names under model.', 'llava-hf-new', 'stages'],
  ['LLaVA-1.6', 'llava-next'],
  ['LLaVA-1.6 of its own names, with spatial tokens', 'next-sp', 'stages'],
  ['InternVL2', 'internvl2'],
  ['InternVL2 with spatial tokens', 'internvl2-sp'],
  ['SigLIP and Qwen2', 'siglip-qwen2'],
  ['the transformer extractor', 'transformer-sfe'],
];

describe.each(layouts)('%s', (_, name, stages) => {
  let converted: Converted;
  beforeAll(async () => {
    converted = await convertPublished(name);
  });
  afterAll(() => converted.remove());

  test('is the model that was published', async () => {
    const { config } = await readGolden(name, new URL(`${name}/golden/`, root));
    const { quantization, ...found } = converted.model.config;
    expect(quantization).toBeNull();
    expect({ ...found, quantization }).toEqual(config);
  });

  test('the prompt and its ids', async () => {
    const { golden, config, folder } = converted.model;
    const tokenizerConfig = await jsonOf(folder, 'tokenizer_config.json');
    const tokenizer = createTokenizer(await jsonOf(folder, 'tokenizer.json'), tokenizerConfig);
    const template = createChatTemplate(tokenizerConfig, tokenizer, config.imageToken);
    const messages = [
      {
        role: 'user' as const,
        content: [{ type: 'image' as const }, { type: 'text' as const, text: golden.question }],
      },
    ];
    const { before, after, text } = assemblePrompt(tokenizer, template, messages);
    expect(text).toBe(golden.prompt);
    expect([...before, config.imageToken, ...after]).toEqual(golden.prompt_ids);
  });

  if (stages) {
    test('every stage', async () => {
      const backend = await createWasm(createTestHost(), { variant: 'relaxed', threads: 2, poison: true });
      const { errors, tokens } = await stageErrors(backend, converted.model);
      expect(errors.length).toBeGreaterThanOrEqual(STEPS + 4);
      expect(errors.filter(({ error }) => !(error < LIMIT))).toEqual([]);
      expect(tokens).toEqual(converted.model.golden.greedy_tokens);
    });
  }

  test('loads and answers', async () => {
    const { golden, stages: truth, config, folder } = converted.model;
    const { text, usage } = await answerOf(folder, name, golden.question);
    expect(text).toBe(golden.answer);
    const imageTokens = stageOf(truth, 'visual_tokens').length / config.text.width;
    expect(usage).toMatchObject({
      imageTokens,
      promptTokens: golden.prompt_ids.length - 1 + imageTokens,
      completionTokens: STEPS,
    });
  });
});
