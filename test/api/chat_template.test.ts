/** Where a folder may keep its chat template: with the tokenizer's configuration, or beside it as newer Hugging Face releases do. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { ModelFiles } from '../../packages/core/src/host.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';

const folder = goldenFolder('plain');

/** The first tokens of an answer by a folder of these files, besides its own. */
async function answer(files: Readonly<Record<string, string>>): Promise<string> {
  const own = folderFiles(folder);
  const changed: ModelFiles = {
    location: own.location,
    has: (name) => (name in files ? Promise.resolve(true) : own.has(name)),
    open(name) {
      if (!(name in files)) return own.open(name);
      const bytes = new TextEncoder().encode(files[name]);
      const read = (begin: number, end: number) => Promise.resolve(bytes.slice(begin, end));
      return Promise.resolve({ size: bytes.length, read, close: () => Promise.resolve() });
    },
  };
  const host = { ...createTestHost(), openModel: () => Promise.resolve(changed) };
  const model = await loadModel(host, 'model', { threads: 1, kernels: 'simd' });
  try {
    const image = { data: new Uint8Array(6 * 4 * 3).fill(90), width: 6, height: 4 };
    const said = model.ask(image, 'What is it?', { maxTokens: 8 });
    const text = await said.text();
    return `${said.usage.promptTokens} ${text}`;
  } finally {
    await model.dispose();
  }
}

test('chat_template.jinja and chat_template.json stand for the one in tokenizer_config.json', async () => {
  const config = JSON.parse(await readFile(new URL('tokenizer_config.json', folder), 'utf8')) as {
    chat_template?: string;
  };
  const { chat_template: template, ...rest } = config;
  if (!template) throw new Error('the golden folder has a chat template');
  const without = { 'tokenizer_config.json': JSON.stringify(rest) };
  const truth = await answer({});
  expect(await answer({ ...without, 'chat_template.jinja': template })).toBe(truth);
  const json = JSON.stringify({ chat_template: template });
  expect(await answer({ ...without, 'chat_template.json': json })).toBe(truth);
  // The folder's own counts before one beside it.
  expect(await answer({ 'chat_template.jinja': 'no template of this model' })).toBe(truth);
  const invalid = { code: 'TOKENIZER_INVALID' };
  await expect(answer(without)).rejects.toMatchObject(invalid);
  await expect(answer({ ...without, 'chat_template.json': 'null' })).rejects.toMatchObject(invalid);
  await expect(answer({ ...without, 'chat_template.json': '{' })).rejects.toMatchObject(invalid);
});
