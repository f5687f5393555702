/** The writer: shards, index, configuration and card of a plan; interrupted runs that go on to the same bytes. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Plan, PlannedTensor } from '../../packages/convert/src/contract.ts';
import { writePlan, type WriteOptions } from '../../packages/convert/src/folder.ts';
import { checkQuantisation } from '../../packages/convert/src/write/layout.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { createChatTemplate } from '../../packages/core/src/text/chat.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { describeLayer } from '../../packages/core/src/weights/quantization.ts';
import { toFloat32 } from '../../packages/core/src/weights/floats.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { f32Source, memoryFiles, normals, planned, planOf, sourceOf, toBf16 } from './hand_made.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llava-sp-write-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const conv = normals(64 * 32 * 9, 1);
const table = toBf16(normals(4 * 64, 2));

/** A matrix, a convolution, an embedding table, an odd matrix and vectors. */
function tensors(): PlannedTensor[] {
  const bias = normals(64, 4);
  return [
    planned('vision_tower.a.weight', f32Source('a', [64, 32, 3, 3], conv), { part: 'vision', kernel: 3 }),
    planned('vision_tower.a.bias', f32Source('b', [64], bias), {
      part: 'vision',
      rowScale: f32Source('s', [64], bias),
    }),
    planned('spatial_features.odd.weight', f32Source('o', [8, 20], normals(160, 5)), { part: 'sfe' }),
    planned('spatial_features.even.weight', f32Source('v', [8, 64], normals(512, 9)), { part: 'sfe' }),
    planned('embed.weight', sourceOf('e', [4, 64], table.bytes, 'BF16'), { part: 'embeddings' }),
    planned('vision_tower.patch_embedding.weight', f32Source('p', [64, 1, 8, 8], normals(64 * 64, 8)), {
      part: 'vision',
      kernel: 8,
    }),
    // The second half of a fused matrix.
    planned('model.q.weight', f32Source('q', [256, 96], normals(256 * 96, 6)), {
      shape: [128, 96],
      rows: [128, 256],
    }),
    planned('model.zero.bias', f32Source('z', [7], normals(7, 7)), { source: null }),
  ];
}

function options(more: Partial<WriteOptions> = {}): WriteOptions {
  return { out: join(folder, 'out'), quantisation: checkQuantisation(), threads: 1, ...more };
}

const open = async (out: string) => {
  const entries = await readdir(out);
  const contents = await Promise.all(
    entries.map(async (name) => [name, new Uint8Array(await readFile(join(out, name)))] as const),
  );
  return memoryFiles(Object.fromEntries(contents));
};

async function hashes(out: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const name of (await readdir(out)).sort()) {
    result[name] = createHash('sha256')
      .update(await readFile(join(out, name)))
      .digest('hex');
  }
  return result;
}

describe('a plan as a folder', () => {
  it('is what core reads: names, formats, groups, values', async () => {
    const { out } = options();
    const report = await writePlan(planOf(tensors()), options());
    const config = parseModelConfig(JSON.parse(await readFile(join(out, 'config.json'), 'utf8')));
    const store = await openWeights(await open(out));
    const formatOf = (layer: string) => {
      const { format, group } = describeLayer(store, config.quantization, layer);
      return `${format} ${group}`;
    };
    expect(formatOf('vision_tower.a')).toBe('q8 32');
    expect(formatOf('embed')).toBe('q8 64');
    expect(formatOf('model.q')).toBe('q4 32');
    expect(formatOf('spatial_features.odd')).toBe('f16 0');
    expect(formatOf('spatial_features.even')).toBe('q4 64');
    // Its input is channel by channel.
    expect(formatOf('vision_tower.patch_embedding')).toBe('f16 0');
    expect(report.odd).toEqual(['spatial_features.odd.weight']);
    expect(config.quantization?.layers.get('spatial_features.odd')).toBe(false);
    expect(store.entry('vision_tower.a.bias').dtype).toBe('F32');
    expect(new Set(await store.read('model.zero.bias'))).toEqual(new Set([0]));

    // Codes, scales and biases, of the rows that were meant.
    const words = new Uint32Array((await store.read('model.q.weight')).slice().buffer);
    const scales = toFloat32(await store.read('model.q.scales'), 'f16');
    const biases = toFloat32(await store.read('model.q.biases'), 'f16');
    const wanted = normals(256 * 96, 6).subarray(128 * 96);
    let error = 0;
    wanted.forEach((x, i) => {
      const code = (words[i >> 3] >>> (4 * (i & 7))) & 15;
      error += (scales[i >> 5] * code + biases[i >> 5] - x) ** 2;
    });
    const norm = wanted.reduce((sum, x) => sum + x * x, 0);
    expect(Math.sqrt(error / norm)).toBeCloseTo(report.parts.llm?.error ?? 0, 4);

    const bias = normals(64, 4);
    const read = await store.read('vision_tower.a.bias');
    const stored = new Float32Array(read.slice().buffer);
    stored.forEach((x, i) => expect(x).toBe(Math.fround(bias[i] * bias[i])));
    expect(report.parts.llm?.error).toBeGreaterThan(0.02);
    expect(report.parts.llm?.error).toBeLessThan(0.12);
    expect(report.parts.embeddings?.error).toBeLessThan(0.01);
    expect(report.total.weights).toBe(64 * 288 + 64 + 160 + 512 + 256 + 64 * 64 + 128 * 96 + 7);
  });

  it('has an index with the size and hash of every shard, none above the limit', async () => {
    const { out } = options();
    const report = await writePlan(planOf(tensors()), options({ shardBytes: 20_000 }));
    expect(report.shards.length).toBeGreaterThan(1);
    const index = JSON.parse(await readFile(join(out, 'model.safetensors.index.json'), 'utf8')) as {
      metadata: { total_size: number; sha256: Record<string, string> };
    };
    const found = await hashes(out);
    for (const name of ['config.json', 'tokenizer.json'])
      expect(index.metadata.sha256[name]).toBe(found[name]);
    let bytes = 0;
    for (const { file, size } of report.shards) {
      expect(index.metadata.sha256[file]).toBe(found[file]);
      const content = await readFile(join(out, file));
      expect(content.length).toBe(size);
      const header = Number(content.readBigUInt64LE(0));
      bytes += size - 8 - header;
    }
    expect(index.metadata.total_size).toBe(bytes);
    // A tensor by itself may be larger; two are not put together past the limit.
    const store = await openWeights(await open(out));
    for (const { size, file } of report.shards) {
      const names = [...store.names()].filter((name) => store.entry(name).file === file);
      const layers = new Set(names.map((name) => name.replace(/\.\w+$/, '')));
      expect(size <= 20_000 || layers.size === 1).toBe(true);
    }
    expect(report.shards.some(({ size }) => size > 20_000)).toBe(true);
  });

  it('has a chat template, an image token and a card', async () => {
    const { out } = options();
    const sources = [
      { location: join(folder, 'mine', 'vicuna'), name: 'weights', size: 1 },
      { location: 'https://me:secret@models.invalid/vicuna?token=secret', name: 'weights', size: 1 },
    ];
    await writePlan(planOf(tensors(), { license: 'mit', sources }), options());
    const json = async (name: string) => JSON.parse(await readFile(join(out, name), 'utf8')) as unknown;
    const config = await json('tokenizer_config.json');
    const tokenizer = createTokenizer(await json('tokenizer.json'), config);
    expect(tokenizer.token(3)).toBe('<image>');
    const template = createChatTemplate(config, tokenizer, 3);
    const text = template.render([
      { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'Hm?' }] },
    ]);
    expect(text).toBe(
      "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. USER: <image>\nHm? ASSISTANT:",
    );
    const card = await readFile(join(out, 'README.md'), 'utf8');
    expect(card).toContain('license: "mit"');
    expect(card).toContain('| mine/vicuna | weights | 1 |');
    expect(card).toContain('| https://models.invalid/vicuna | weights | 1 |');
    expect(card).not.toMatch(/secret/);
    expect(card).not.toContain(folder);
    expect((await readdir(out)).filter((name) => /partial|conversion/.test(name))).toEqual([]);
  });

  it('names the tensor that is not finite or too large', async () => {
    const values = normals(64, 1);
    values[3] = Infinity;
    const plan = planOf([planned('model.bad.weight', f32Source('x', [1, 64], values))]);
    await expect(writePlan(plan, options())).rejects.toMatchObject({
      code: 'WEIGHTS_NOT_FINITE',
      message: expect.stringContaining('model.bad.weight') as string,
    });
    values[3] = 1e6;
    await expect(writePlan(plan, options())).rejects.toMatchObject({ code: 'WEIGHTS_OVERFLOW' });
  });
});

describe('an interrupted conversion', () => {
  const shardBytes = 20_000;

  /** The plan, with a source that calls `onRead` before it gives rows of the last matrix. */
  function watched(onRead: () => void): Plan {
    const all = tensors();
    return planOf(
      all.map((tensor) => {
        const { source } = tensor;
        if (tensor.name !== 'model.q.weight' || !source) return tensor;
        const read = async (begin: number, end: number, signal?: AbortSignal) => {
          // One row is what the fingerprint takes.
          if (end - begin > 1) onRead();
          return source.read(begin, end, signal);
        };
        return { ...tensor, source: { ...source, read } };
      }),
    );
  }

  it('goes on behind its last whole shard, to the same bytes', async () => {
    const whole = options({ out: join(folder, 'whole'), shardBytes, threads: 2 });
    await writePlan(planOf(tensors()), whole);
    const wanted = await hashes(whole.out);

    const failing = watched(() => {
      throw new Error('the power went');
    });
    await expect(writePlan(failing, options({ shardBytes }))).rejects.toThrow('the power went');
    const { out } = options();
    const left = (await readdir(out)).filter((name) => name.endsWith('.safetensors'));
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(Object.keys(wanted).filter((name) => /safetensors$/.test(name)).length);
    expect(await readdir(out)).not.toContain('config.json');

    let first = Infinity;
    const onProgress: WriteOptions['onProgress'] = ({ done, total }) => {
      first = Math.min(first, done / total);
    };
    await writePlan(planOf(tensors()), options({ shardBytes, onProgress }));
    expect(first).toBeGreaterThan(0.3);
    expect(await hashes(out)).toEqual(wanted);
  });

  it('makes a shard again that was changed, and everything when an option was', async () => {
    const failing = watched(() => {
      throw new Error('the power went');
    });
    const { out } = options();
    const interrupt = () =>
      expect(writePlan(failing, options({ shardBytes }))).rejects.toThrow('the power went');
    await interrupt();
    const first = (await readdir(out)).filter((name) => name.endsWith('.safetensors')).sort()[0];
    // One bit, which no size tells.
    const changed = await readFile(join(out, first));
    changed[changed.length - 1] ^= 1;
    await writeFile(join(out, first), changed);
    await writePlan(planOf(tensors()), options({ shardBytes }));
    const whole = options({ out: join(folder, 'whole'), shardBytes });
    await writePlan(planOf(tensors()), whole);
    expect(await hashes(out)).toEqual(await hashes(whole.out));

    await rm(out, { recursive: true });
    await interrupt();
    const other = { quantisation: checkQuantisation({ llm: 'q8' }), shardBytes };
    await writePlan(planOf(tensors()), options(other));
    await writePlan(planOf(tensors()), options({ ...other, out: join(folder, 'other') }));
    expect(await hashes(out)).toEqual(await hashes(join(folder, 'other')));
  });

  it('stops at once when aborted, and can go on', async () => {
    const controller = new AbortController();
    const hanging = watched(() => controller.abort());
    const { out } = options();
    await expect(
      writePlan(hanging, options({ shardBytes, signal: controller.signal })),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await readdir(out)).filter((name) => name.endsWith('.partial'))).toEqual([]);
    await writePlan(planOf(tensors()), options({ shardBytes }));
  });

  it('leaves no shards behind that are not its own', async () => {
    const failing = watched(() => {
      throw new Error('the power went');
    });
    const { out } = options();
    await expect(writePlan(failing, options({ shardBytes }))).rejects.toThrow('the power went');
    // As after a kill between the renaming of a shard and the state that lists it, of a run with other shards.
    await writeFile(join(out, 'model-00001-of-00099.safetensors'), 'x');
    await writeFile(join(out, 'model-00002-of-00099.safetensors.partial'), 'x');
    const report = await writePlan(planOf(tensors()), options({ shardBytes }));
    const left = (await readdir(out)).filter((name) => name.includes('model-0'));
    expect(left.sort()).toEqual(report.shards.map(({ file }) => file));
  });

  it('says before it begins that the disk is too small', async () => {
    const source = f32Source('x', [1, 1], normals(1, 1));
    const huge = planned('model.huge.weight', source, {
      source: null,
      shape: [2 ** 30, 2 ** 16],
      rows: [0, 2 ** 30],
    });
    const { out } = options();
    const done = expect(
      writePlan(planOf([huge]), options({ quantisation: checkQuantisation({ llm: 'f16' }) })),
    );
    await done.rejects.toMatchObject({
      code: 'OUTPUT_FAILED',
      message: expect.stringMatching(/GB/) as string,
    });
    expect(await readdir(out)).toEqual(['conversion.json']);
  });

  it('writes into no folder that holds something else', async () => {
    const { out } = options();
    await writePlan(planOf(tensors()), options());
    await expect(writePlan(planOf(tensors()), options())).rejects.toMatchObject({ code: 'OUTPUT_NOT_EMPTY' });
    await writeFile(join(folder, 'mine.txt'), 'mine');
    await expect(writePlan(planOf(tensors()), options({ out: folder }))).rejects.toMatchObject({
      code: 'OUTPUT_NOT_EMPTY',
    });
    expect((await readdir(out)).length).toBeGreaterThan(5);
    expect(await readFile(join(folder, 'mine.txt'), 'utf8')).toBe('mine');
  });
});
