/** A device that samples by itself gives its logits to an answer under a format, or one whose probabilities are kept. */
import { expect, test } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { AskOptions } from '../../packages/core/src/api/options.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';

const picture = {
  data: Uint8Array.from({ length: 30 * 20 * 3 }, (_, i) => (i * 40) % 251),
  width: 30,
  height: 20,
};
const questions: AskOptions[] = [
  { probabilities: true },
  { probabilities: true, format: { regex: '[a-z]{3,9}!' } },
  { format: { choices: ['the red star', 'a blue ring'] }, probabilities: true },
  { format: { jsonSchema: { type: 'integer' } }, temperature: 1.5, seed: 4 },
];

test('the same answers as on WASM, and the same probabilities', { timeout: 120_000 }, async () => {
  const openModel = () => Promise.resolve(folderFiles(goldenFolder('cropping')));
  const hosts: [Host, 'wasm' | 'webgpu'][] = [
    [{ ...createTestHost(), openModel }, 'wasm'],
    [{ ...createTestHost({ gpu: await openTestGpu('swiftshader') }), openModel }, 'webgpu'],
  ];
  const said: { text: string; probabilities: number[]; reason: string | null }[][] = [];
  for (const [host, device] of hosts) {
    const model = await loadModel(host, 'model', { device, precision: 'f32', threads: 1 });
    try {
      const answers: (typeof said)[number] = [];
      for (const options of questions) {
        const answer = model.ask(picture, 'What is it?', { maxTokens: 12, ...options });
        const text = await answer.text();
        const probabilities = answer.tokens.map(({ probability }) => probability);
        answers.push({ text, probabilities, reason: answer.finishReason });
      }
      said.push(answers);
    } finally {
      await model.dispose();
    }
  }
  const [wasm, webgpu] = said;
  expect(webgpu.map(({ text, reason }) => ({ text, reason }))).toEqual(
    wasm.map(({ text, reason }) => ({ text, reason })),
  );
  expect(webgpu[1].text).toMatch(/^[a-z]{3,9}(!|$)/);
  webgpu.forEach(({ probabilities }, i) => {
    expect(probabilities).toHaveLength(wasm[i].probabilities.length);
    probabilities.forEach((value, j) => expect(value).toBeCloseTo(wasm[i].probabilities[j], 3));
  });
  expect(webgpu[0].probabilities).toHaveLength(12);
});
