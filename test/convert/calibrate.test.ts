/** Codes that are chosen by what the products of a running model give. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { load, nodeHost } from '@llava-sp/node';
import { addMoments, calibrate, type Calibration } from '../../packages/convert/src/calibrate.ts';
import { convert } from '../../packages/convert/src/convert.ts';
import { momentsSize } from '../../packages/convert/src/quantise/feedback.ts';
import { loadListening } from '../../packages/core/src/calibrate.ts';
import { failure } from '../weights/files.ts';

const model = fileURLToPath(new URL('../golden/cropping', import.meta.url));
const image = join(model, 'image.png');
const questions: Calibration['questions'] = [{ image, text: 'What is it?' }, { image }];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llava-sp-calibrate-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a model that is listened to', () => {
  it('answers as without, and lets every product be heard once for the rows that it shares', async () => {
    const heard = new Map<string, { inputs: number; rows: number; k: number }>();
    const hear = (weights: readonly string[], x: Float32Array, k: number): void => {
      expect(x.every(Number.isFinite)).toBe(true);
      for (const name of weights) {
        const { inputs = 0, rows = 0 } = heard.get(name) ?? {};
        heard.set(name, { inputs: inputs + 1, rows: rows + x.length / k, k });
      }
    };
    const ask = async (loaded: Awaited<ReturnType<typeof load>>): Promise<string> => {
      try {
        return await loaded.ask(image, 'What is it?', { maxTokens: 6 }).text();
      } finally {
        await loaded.dispose();
      }
    };
    const plain = await ask(await load(model, { device: 'wasm', threads: 1 }));
    expect(await ask(await loadListening(nodeHost, model, { hear, most: 1e6, threads: 1 }))).toBe(plain);
    const layer = 'language_model.model.layers.0.';
    const of = (name: string) => heard.get(`${layer}${name}.weight`);
    expect(of('self_attn.q_proj')).toEqual(of('self_attn.v_proj'));
    expect(of('mlp.gate_proj')).toEqual(of('mlp.up_proj'));
    // The tokens before the picture with it, the question, and each token of the answer but the last.
    expect(of('self_attn.o_proj')?.inputs).toBe(2 + 5);
    const names = [...heard.keys()];
    for (const part of [
      'vision_tower.',
      'spatial_features.conv_',
      'spatial_features.detail.',
      'multi_modal_',
    ])
      expect(names.some((name) => name.startsWith(part))).toBe(true);
  });
});

describe('calibration', () => {
  it('adds up the products of inputs with each other, block by block', () => {
    const k = 192;
    const x = Float32Array.from({ length: 3 * k }, (_, i) => Math.sin(i));
    const moments = new Float32Array(momentsSize(k));
    addMoments(moments, x, k);
    const at = (i: number, j: number) =>
      [0, 1, 2].reduce((sum, row) => sum + x[row * k + i] * x[row * k + j], 0);
    expect(moments[5 * 128 + 77]).toBeCloseTo(at(5, 77), 5);
    expect(moments[128 * 128 + 3 * 64 + 60]).toBeCloseTo(at(131, 188), 5);
    expect(moments).toHaveLength(128 * 128 + 64 * 64);
  });

  it('gives the same bytes each time, and others than without', async () => {
    const quantisation = { vision: 'q4', projector: 'q4', group: 32 } as const;
    const make = async (name: string, calibration?: Calibration): Promise<string[]> => {
      const out = join(folder, name);
      const report = await convert({ checkpoint: model, out, quantisation, calibration, threads: 1 });
      return report.shards.map(({ sha256 }) => sha256);
    };
    const told: number[] = [];
    const calibration = { questions, onProgress: (done: number) => void told.push(done) };
    const first = await make('first', calibration);
    expect(told).toEqual([1, 2]);
    expect(await make('second', calibration)).toEqual(first);
    expect(await make('plain')).not.toEqual(first);
    const files = await readdir(join(folder, 'first'));
    expect(files).not.toContain('conversion.json');
    expect(await readFile(join(folder, 'first', 'README.md'), 'utf8')).toMatch(/calibration pictures/);
    expect(await readFile(join(folder, 'plain', 'README.md'), 'utf8')).not.toMatch(/calibration/);
    const config = (out: string) => readFile(join(folder, out, 'config.json'), 'utf8');
    expect(await config('first')).toBe(await config('plain'));
    // Also by a folder that is quantised already, whose names are the same.
    await make('third', { questions, model: join(folder, 'plain') });
    const loaded = await load(join(folder, 'third'), { device: 'wasm', threads: 1 });
    try {
      const answer = loaded.ask(image, 'What is it?', { maxTokens: 2 });
      await answer.text();
      expect(answer.usage.completionTokens).toBe(2);
    } finally {
      await loaded.dispose();
    }
  });

  it('says what it lacks: questions, a model that runs, a picture', async () => {
    const published = fileURLToPath(new URL('../golden/published/llava-hf-old/model', import.meta.url));
    const out = join(folder, 'none');
    const none = await failure(() => convert({ checkpoint: model, out, calibration: { questions: [] } }));
    expect(none).toMatchObject({ code: 'OPTION_INVALID' });
    const alone = await failure(() => convert({ checkpoint: published, out, calibration: { questions } }));
    expect(alone).toMatchObject({ code: 'OPTION_INVALID' });
    expect(alone.fix).toMatch(/--calibrate-with/);
    const missing = { questions: [{ image: join(folder, 'missing.png') }] };
    const lost = await failure(() => calibrate(model, missing, { threads: 1 }));
    expect(lost).toMatchObject({ code: 'FILE_UNREADABLE' });
    const stop = AbortSignal.abort();
    const stopped = await failure(() => calibrate(model, { questions }, { threads: 1, signal: stop }));
    expect(stopped).toMatchObject({ code: 'ABORTED' });
  });
});
