/** Published weights as one set of tensors, whatever files hold them. */
import { describe, expect, test } from 'vitest';
import type { ByteSource, ModelFiles } from '../../packages/core/src/host.ts';
import { openAdapter, openCheckpoint } from '../../packages/convert/src/sources/checkpoint.ts';
import { asSource, publishedTensor } from '../../packages/convert/src/sources/tensors.ts';
import { torchBytes } from '../support/torch_writer.ts';
import { failure, folder, json, safetensors, type Draft } from '../weights/files.ts';

const data = Uint8Array.from({ length: 24 }, (_, i) => i);
const drafts: Record<string, Draft> = {
  'a.weight': { dtype: 'F16', shape: [3, 4], data },
  empty: { dtype: 'F32', shape: [0, 4] },
  scalar: { dtype: 'F32', shape: [], data: data.subarray(0, 4) },
  ids: { dtype: 'I64', shape: [3], data },
};

/** The folder, and how many of its files are open. */
function counted(files: ModelFiles): { files: ModelFiles; open: () => number } {
  let open = 0;
  return {
    open: () => open,
    files: {
      ...files,
      async open(name): Promise<ByteSource> {
        const source = await files.open(name);
        open++;
        return { ...source, close: async () => void open-- };
      },
    },
  };
}

describe('files of a checkpoint', () => {
  const one = (name: string) => safetensors({ [name]: { dtype: 'F16', shape: [1] } });
  const torch = (name: string) =>
    torchBytes([{ name, dtype: 'F16', shape: [1], chunks: () => [new Uint8Array(2)] }]);
  const index = (weights: Record<string, string>) => json({ metadata: {}, weight_map: weights });

  test('one file, and the shards of an index, of both kinds', async () => {
    const places: [Record<string, Uint8Array>, string[]][] = [
      [{ 'model.safetensors': one('x') }, ['x']],
      [{ 'pytorch_model.bin': await torch('x') }, ['x']],
      [
        {
          'model.safetensors.index.json': index({ x: 'm-1.safetensors', y: 'm-2.safetensors' }),
          'm-1.safetensors': one('x'),
          'm-2.safetensors': one('y'),
        },
        ['x', 'y'],
      ],
      [
        {
          'pytorch_model.bin.index.json': index({ x: 'm-1.bin', y: 'm-2.bin' }),
          'm-1.bin': await torch('x'),
          'm-2.bin': await torch('y'),
        },
        ['x', 'y'],
      ],
    ];
    for (const [contents, names] of places) {
      const { files, open } = counted(folder(contents));
      const checkpoint = await openCheckpoint(files);
      expect([...checkpoint.tensors.keys()]).toEqual(names);
      const weights = Object.keys(contents).filter((name) => !name.endsWith('.json'));
      expect(checkpoint.sources.map(({ name }) => name)).toEqual(weights);
      expect(checkpoint.sources[0]).toEqual({
        location: 'memory',
        name: weights[0],
        size: contents[weights[0]].length,
      });
      expect(open()).toBe(weights.length);
      await checkpoint.close();
      expect(open()).toBe(0);
    }
  });

  test('safetensors come before torch files', async () => {
    const both = { 'model.safetensors': one('safe'), 'pytorch_model.bin': await torch('pickled') };
    const checkpoint = await openCheckpoint(folder(both));
    expect([...checkpoint.tensors.keys()]).toEqual(['safe']);
  });

  test('an adapter, with what was trained beside it or without', async () => {
    const adapter = { 'adapter_model.safetensors': one('factor') };
    expect([...(await openAdapter(folder(adapter))).tensors.keys()]).toEqual(['factor']);
    const trained = {
      'adapter_model.bin': await torch('factor'),
      'non_lora_trainables.bin': await torch('trained'),
    };
    expect([...(await openAdapter(folder(trained))).tensors.keys()]).toEqual(['factor', 'trained']);
  });

  test('no weights, a shard that is missing: said by name, nothing stays open', async () => {
    const none = await failure(() => openCheckpoint(folder({ 'config.json': json({}) })));
    expect(none.code).toBe('MODEL_FILE_MISSING');
    expect(none.message).toMatch(/model\.safetensors.*pytorch_model\.bin/);
    const { files, open } = counted(
      folder({
        'model.safetensors.index.json': index({ x: 'a.safetensors', y: 'b.safetensors' }),
        'a.safetensors': one('x'),
      }),
    );
    const missing = await failure(() => openCheckpoint(files));
    expect(missing.code).toBe('MODEL_FILE_MISSING');
    expect(open()).toBe(0);
    const adapter = await failure(() => openAdapter(folder({ 'adapter_config.json': json({}) })));
    expect(adapter.message).toMatch(/adapter_model\.safetensors/);
  });

  test('aborted: at once', async () => {
    const { files, open } = counted(folder({ 'model.safetensors': one('x') }));
    const error = await failure(() => openCheckpoint(files, AbortSignal.abort()));
    expect(error.code).toBe('ABORTED');
    expect(open()).toBe(0);
  });
});

describe('tensors', () => {
  const open = async () =>
    (await openCheckpoint(folder({ 'model.safetensors': safetensors(drafts) }))).tensors;
  const of = async (name: string) => {
    const tensor = (await open()).get(name);
    if (!tensor) throw new Error(`no ${name}`);
    return tensor;
  };

  test('rows by range; empty tensors and scalars', async () => {
    const weight = await of('a.weight');
    expect(weight).toMatchObject({ dtype: 'F16', shape: [3, 4], bytes: 24, file: 'model.safetensors' });
    expect([...(await weight.read(1, 3))]).toEqual([...data.subarray(8, 24)]);
    expect(await weight.read(2, 2)).toHaveLength(0);
    expect(await (await of('empty')).read(0, 0)).toHaveLength(0);
    expect([...(await (await of('scalar')).read(0, 1))]).toEqual([0, 1, 2, 3]);
  });

  test('in another shape of the same size', async () => {
    const weight = await of('a.weight');
    const flat = asSource(weight, [1, 12]);
    expect([...(await flat.read(0, 1))]).toEqual([...data]);
    const halves = asSource(weight, [12]);
    expect([...(await halves.read(3, 5))]).toEqual([6, 7, 8, 9]);
    expect([...(await asSource(weight).read(0, 1))]).toEqual([...data.subarray(0, 8)]);
  });

  test('as weights: floats alone', async () => {
    const error = await of('ids').then((ids) => failure(() => asSource(ids)));
    expect(error.code).toBe('WEIGHTS_DTYPE');
    expect(error.message).toMatch(/"ids".*I64/);
  });

  test('a shape larger than any tensor', async () => {
    const large = {
      name: 'x',
      dtype: 'F16',
      shape: [2 ** 20, 2 ** 20],
      file: 'f',
      read: async () => data,
    } as const;
    expect((await failure(() => publishedTensor(large))).code).toBe('CHECKPOINT_INVALID');
  });
});
