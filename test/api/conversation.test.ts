/** Conversations in the tokens and templates of every family: what a chat adds is what the whole conversation would have. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import { promptOf, type PromptParts } from '../../packages/core/src/pipeline/prompt.ts';
import { createChatTemplate, type ChatMessage } from '../../packages/core/src/text/chat.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { folderFiles } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';
import { convertPublished, type Converted } from '../support/published.ts';

const messages: readonly ChatMessage[] = [
  { role: 'user', content: 'What is left of the red star?' },
  { role: 'assistant', content: 'A blue ring, and </s> or <|im_end|> spelt out.' },
  { role: 'user', content: 'And behind it?' },
  { role: 'assistant', content: 'Nothing.' },
  { role: 'user', content: ' Are you sure? ' },
];

describe.each([
  ['LLaVA-SP, Vicuna', 'lora-cropping'],
  ['SigLIP and Qwen2', 'siglip-qwen2'],
  ['InternVL', 'internvl2-sp'],
  ['LLaVA-1.6', 'llava-next'],
])('%s', (_, name) => {
  let converted: Converted;
  let parts: PromptParts;
  beforeAll(async () => {
    converted = await convertPublished(name);
    const { folder, config } = converted.model;
    const json = async (file: string): Promise<unknown> =>
      JSON.parse(await readFile(new URL(file, folder), 'utf8'));
    const tokenizerConfig = await json('tokenizer_config.json');
    const tokenizer = createTokenizer(await json('tokenizer.json'), tokenizerConfig);
    const room = { ...config, text: { ...config.text, context: 4096 } };
    parts = {
      config: room,
      tokenizer,
      template: createChatTemplate(tokenizerConfig, tokenizer, config.imageToken),
    };
  });
  afterAll(() => converted.remove());

  test('each turn begins with the turns before, and adds the rest', () => {
    const eos = parts.config.text.eos;
    for (const turns of [3, 5]) {
      const conversation = messages.slice(0, turns);
      const whole = promptOf(parts, conversation);
      const first = promptOf(parts, conversation.slice(0, turns - 2));
      expect(whole.before).toEqual(first.before);
      expect(whole.after.slice(0, first.after.length)).toEqual(first.after);
      // With nothing said, only what comes behind the last answer is left.
      const { after: added } = promptOf(parts, conversation, []);
      expect(whole.after.slice(-added.length)).toEqual(added);
      // The model's end of the answer is the first of it.
      expect(eos).toContain(added[0]);
      const said = [7, 8, 9];
      expect(promptOf(parts, conversation, said).after).toEqual([...said, ...added]);
    }
  });

  test('a text is the conversation of one question', () => {
    const [{ content }] = messages;
    expect(promptOf(parts, messages.slice(0, 1))).toEqual(promptOf(parts, content as string));
  });

  test('a chat on it says the same whatever is in the cache', async () => {
    const { folder } = converted.model;
    const host = { ...createTestHost(), openModel: () => Promise.resolve(folderFiles(folder)) };
    await using model = await loadModel(host, 'model', { threads: 1, kernels: 'simd' });
    const { image } = converted;
    const other = { data: new Uint8Array(50 * 20 * 3).fill(200), width: 50, height: 20 };
    const talk = async (between: () => Promise<unknown>) => {
      using chat = model.chat(image);
      const answers: [string, number][] = [];
      for (const question of ['What?', 'Where?', 'Why?']) {
        await between();
        const answer = chat.ask(question, { maxTokens: 5 });
        answers.push([await answer.text(), answer.usage.promptTokens - answer.usage.cachedTokens]);
      }
      return answers;
    };
    const kept = await talk(async () => undefined);
    const again = await talk(() => model.ask(other, '?', { maxTokens: 1 }).text());
    expect(kept.map(([text]) => text)).toEqual(again.map(([text]) => text));
    expect(kept[2][1]).toBeLessThan(again[2][1] / 2);
  });
});
