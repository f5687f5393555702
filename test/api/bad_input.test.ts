/**
 * Bad input through the built package: each case gives one error with its code, which names the culprit and says what to
 * do, in time; afterwards the same model answers as before, and a load that failed leaves no thread and no open file.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
  load,
  loadModel,
  nodeHost,
  type AskOptions,
  type ErrorCode,
  type Host,
  type ImageInput,
  type LoadOptions,
  type Model,
} from '@llava-sp/node';
import { editJson, goldenOf, imagePath, modelPath, withCopy } from '../support/models.ts';
import type { Golden } from '../support/golden.ts';
import { editBytes, editEntry, putValue } from './damage.ts';

const NAME = 'cropping';
/** Milliseconds: far more than any of these takes on a busy machine, far less than a hang. */
const LIMIT = 20_000;
const image = imagePath(NAME);
const images = fileURLToPath(new URL('../golden/images/', import.meta.url));
const families = [ArgumentError, UnsupportedError, LoadError, DeviceError, AbortedError];

let golden: Golden;
let model: Model;
let scratch: string;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  golden = await goldenOf(NAME);
  model = await load(modelPath(NAME), { threads: 2 });
  scratch = await mkdtemp(join(tmpdir(), 'llava-sp-test-'));
});

afterAll(async () => {
  await model.dispose();
  await rm(scratch, { recursive: true });
  process.off('unhandledRejection', onUnhandled);
  expect(unhandled).toEqual([]);
});

/** What `work` rejects with; fails when it succeeds, hangs, or throws anything that is not of the SDK. */
async function failure(work: Promise<unknown>): Promise<LlavaSpError> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came of it in ${LIMIT} ms`)), LIMIT);
  });
  const settled = work.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  );
  const error = await Promise.race([settled, late]).finally(() => clearTimeout(timer));
  if (error instanceof LlavaSpError) return error;
  throw error;
}

/** The error is of one family, has its code, names the culprit and gives a fix. */
function check(error: LlavaSpError, code: ErrorCode, culprit: string | RegExp): void {
  expect(error.code, error.message).toBe(code);
  expect(families.filter((family) => error instanceof family)).toHaveLength(1);
  expect(error.message).toMatch(culprit);
  expect(error.message.length).toBeLessThan(600);
  expect(error.fix).toMatch(/^[A-Z].{8,}[."]$/);
}

async function stillRight(): Promise<void> {
  expect(await model.ask(image, golden.question, { maxTokens: 32 }).text()).toBe(golden.answer);
}

function picture(name: string): string {
  return join(images, name);
}

/** A PNG whose header claims another size. */
async function resized(width: number, height: number): Promise<Uint8Array> {
  const bytes = await readFile(picture('png-rgb.png'));
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
}

const half = async (name: string) => (await readFile(picture(name))).subarray(0, 200);
const raw = (width: number, height: number, bytes: number) => ({
  data: new Uint8Array(bytes),
  width,
  height,
});
const wrong = (value: unknown) => value as ImageInput;

describe('images', () => {
  const cases: [string, () => ImageInput | Promise<ImageInput>, ErrorCode, string | RegExp][] = [
    ['a missing file', () => join(images, 'nowhere.png'), 'FILE_UNREADABLE', 'nowhere.png'],
    ['a folder', () => images, 'FILE_UNREADABLE', 'images'],
    ['a path with a zero byte', () => 'a\0b.png', 'FILE_UNREADABLE', 'image'],
    ['a path of a million characters', () => 'x'.repeat(1e6), 'FILE_UNREADABLE', 'xxx'],
    ['an address where nobody answers', () => 'http://127.0.0.1:1/a.png', 'FILE_UNREADABLE', '127.0.0.1'],
    ['an address of another kind', () => new URL('ftp://host/a.png'), 'SOURCE_UNSUPPORTED', 'ftp:'],
    ['a file: URL of another machine', () => 'file://host/a.png', 'SOURCE_UNSUPPORTED', 'host'],
    ['a data URL that is none', () => 'data:image/png;base64', 'FILE_UNREADABLE', 'data:'],
    ['a data URL of text', () => 'data:,hello', 'IMAGE_UNSUPPORTED_FORMAT', /format/],
    ['bytes that are no image', () => picture('notanimage.bin'), 'IMAGE_UNSUPPORTED_FORMAT', /format/],
    ['a GIF', () => picture('unsupported.gif'), 'IMAGE_UNSUPPORTED_FORMAT', 'GIF'],
    ['no bytes', () => picture('empty.bin'), 'IMAGE_EMPTY', /no bytes/],
    ['an empty Blob', () => new Blob([]), 'IMAGE_EMPTY', /no bytes/],
    ['an empty array', () => new Uint8Array(0), 'IMAGE_EMPTY', /no bytes/],
    ['a signature alone', () => picture('signature-only.png'), 'IMAGE_DECODE_FAILED', 'PNG'],
    ['a damaged file', () => picture('corrupt.png'), 'IMAGE_DECODE_FAILED', 'PNG'],
    ['a truncated PNG', () => picture('truncated.png'), 'IMAGE_DECODE_FAILED', 'PNG'],
    ['a truncated JPEG', () => picture('truncated.jpg'), 'IMAGE_DECODE_FAILED', 'JPEG'],
    ['a JPEG cut in its header', () => picture('truncated-header.jpg'), 'IMAGE_DECODE_FAILED', 'JPEG'],
    ['a truncated WebP', () => picture('truncated.webp'), 'IMAGE_DECODE_FAILED', 'WEBP'],
    ['a truncated AVIF', () => picture('truncated.avif'), 'IMAGE_DECODE_FAILED', 'AVIF'],
    ['the first bytes of a JPEG', () => half('jpeg-444.jpg'), 'IMAGE_DECODE_FAILED', 'JPEG'],
    ['a 0x0 PNG', () => resized(0, 0), 'IMAGE_EMPTY', '0x0'],
    ['a PNG without height', () => resized(20, 0), 'IMAGE_EMPTY', '20x0'],
    ['a PNG of 2^31 by 2^31', () => resized(2 ** 31, 2 ** 31), 'IMAGE_TOO_LARGE', '2147483648'],
    ['a 100-megapixel PNG', () => picture('huge.png'), 'IMAGE_TOO_LARGE', /megapixels/],
    ['a 100-megapixel JPEG', () => picture('huge.jpg'), 'IMAGE_TOO_LARGE', /megapixels/],
    ['a PNG larger than its data', () => resized(900, 900), 'IMAGE_DECODE_FAILED', 'PNG'],
    ['pixels of 0x0', () => raw(0, 0, 0), 'IMAGE_EMPTY', '0x0'],
    ['pixels of a negative size', () => raw(-4, -4, 48), 'IMAGE_EMPTY', '-4x-4'],
    ['100 megapixels', () => raw(10_000, 10_000, 12), 'IMAGE_TOO_LARGE', '10000x10000'],
    ['too few pixels', () => raw(4, 4, 47), 'IMAGE_INVALID', '47'],
    ['grey pixels', () => raw(4, 4, 16), 'IMAGE_INVALID', '16'],
    ['pixels of no size', () => wrong({ data: new Uint8Array(12) }), 'IMAGE_INVALID', /width/],
    ['half a pixel', () => raw(1.5, 2, 9), 'IMAGE_INVALID', /width/],
    [
      'pixels that are floats',
      () => wrong({ data: [1, 2, 3], width: 1, height: 1 }),
      'IMAGE_INVALID',
      /data/,
    ],
    ['nothing', () => wrong(undefined), 'IMAGE_MISSING', /image/],
    ['null', () => wrong(null), 'IMAGE_MISSING', /image/],
    ['an empty path', () => '', 'IMAGE_MISSING', /image/],
    ['a number', () => wrong(7), 'IMAGE_INVALID', 'number'],
    ['a function', () => wrong(() => 0), 'IMAGE_INVALID', 'function'],
    ['a Float32Array', () => wrong(new Float32Array(9)), 'IMAGE_INVALID', 'object'],
    ['a detached buffer', () => detached().buffer, 'IMAGE_EMPTY', /no bytes/],
    ['bytes of a detached buffer', detached, 'IMAGE_EMPTY', /no bytes/],
  ];
  test.each(cases)('%s', async (_what, make, code, culprit) => {
    const input = await make();
    check(await failure(model.ask(input, golden.question).text()), code, culprit);
    check(await failure(model.look(input)), code, culprit);
    await stillRight();
  });

  function detached(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(12);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  }

  test('a file of gigabytes is refused before it is read', async () => {
    const path = join(scratch, 'sparse.png');
    const file = await open(path, 'w');
    await file.truncate(2 ** 33);
    await file.close();
    const start = performance.now();
    check(await failure(model.ask(path, 'What is it?').text()), 'IMAGE_TOO_LARGE', 'sparse.png');
    expect(performance.now() - start).toBeLessThan(2000);
    await stillRight();
  });

  test('a picture that changes after the question is not seen, in a Buffer neither', async () => {
    const bytes = await readFile(image);
    const pixels = await nodeHost.decodeImage(bytes);
    const rgb = { ...pixels, data: Buffer.from(pixels.data) };
    const { buffer } = new Uint8Array(bytes);
    for (const [input, changing] of [
      [bytes, bytes],
      [buffer, new Uint8Array(buffer)],
      [rgb, rgb.data],
    ] as const) {
      const busy = model.ask(raw(8, 8, 192), golden.question, { maxTokens: 5 });
      const answer = model.ask(input, golden.question, { maxTokens: 32 });
      changing.fill(0, 100);
      expect(await answer.text()).toBe(golden.answer);
      await busy.text();
    }
    // The same array with other pixels is another picture.
    const again = model.ask(rgb, golden.question, { maxTokens: 8 });
    await again.text();
    expect(again.usage.cachedTokens).toBe(0);
    await stillRight();
  });
});

describe('questions and options', () => {
  const questions: [string, string, ErrorCode, string | RegExp][] = [
    ['empty', '', 'PROMPT_EMPTY', /empty/],
    ['blank', ' \n\t ', 'PROMPT_EMPTY', /empty/],
    ['too long', 'what is it? '.repeat(60), 'PROMPT_TOO_LONG', '512'],
    ['of fifty million characters', 'word '.repeat(1e7), 'PROMPT_TOO_LONG', '50000000'],
    ['no text', 7 as unknown as string, 'OPTION_INVALID', 'number'],
    ['undefined', undefined as unknown as string, 'OPTION_INVALID', 'undefined'],
  ];
  test.each(questions)('a question that is %s', async (_what, text, code, culprit) => {
    const answer = model.ask(image, text);
    check(await failure(answer.text()), code, culprit);
    // Refused before any work.
    expect(answer.timings.total).toBe(0);
    await stillRight();
  });

  const options: [string, unknown, ErrorCode, string | RegExp][] = [
    ...[0, -1, 1.5, NaN, Infinity, '5', null].map(
      (value) => ['maxTokens', value, 'OPTION_INVALID', 'maxTokens'] as [string, unknown, ErrorCode, string],
    ),
    ['maxTokens', 1000, 'CONTEXT_FULL', /1000.*512/],
    ...[-0.1, NaN, Infinity, 101, '1', null].map(
      (value) =>
        ['temperature', value, 'OPTION_INVALID', 'temperature'] as [string, unknown, ErrorCode, string],
    ),
    ['topK', -1, 'OPTION_INVALID', 'topK'],
    ['topK', 1.5, 'OPTION_INVALID', 'topK'],
    ['topP', 0, 'OPTION_INVALID', 'topP'],
    ['topP', 1.1, 'OPTION_INVALID', 'topP'],
    ['minP', -0.1, 'OPTION_INVALID', 'minP'],
    ['minP', 2, 'OPTION_INVALID', 'minP'],
    ['repetitionPenalty', 0, 'OPTION_INVALID', 'repetitionPenalty'],
    ['repetitionPenalty', NaN, 'OPTION_INVALID', 'repetitionPenalty'],
    ['seed', -1, 'OPTION_INVALID', 'seed'],
    ['seed', 2 ** 60, 'OPTION_INVALID', 'seed'],
    ['stop', 'end', 'OPTION_INVALID', 'Stop'],
    ['stop', [''], 'OPTION_INVALID', 'Stop'],
    ['stop', [5], 'OPTION_INVALID', 'Stop'],
    ['stop', ['x'.repeat(1000)], 'OPTION_INVALID', 'Stop'],
    ['signal', {}, 'OPTION_INVALID', 'signal'],
    ['signal', new AbortController(), 'OPTION_INVALID', 'signal'],
    ['signal', AbortSignal.abort(), 'ABORTED', 'aborted'],
  ];
  test.each(options)('%s: %o', async (name, value, code, culprit) => {
    const answer = model.ask(image, golden.question, { [name]: value });
    check(await failure(answer.text()), code, culprit);
    expect(answer.timings.total).toBe(0);
    await stillRight();
  });

  test('options that are no object', async () => {
    for (const value of [null, 5, 'fast']) {
      const answer = model.ask(image, golden.question, value as unknown as AskOptions);
      check(await failure(answer.text()), 'OPTION_INVALID', 'options');
      check(await failure(model.look(image, value as unknown as object)), 'OPTION_INVALID', 'options');
    }
    const looking = model.look(image, { signal: 'soon' as unknown as AbortSignal });
    check(await failure(looking), 'OPTION_INVALID', 'signal');
    await stillRight();
  });

  test('many failures at once, that nobody listens to, disturb nobody', async () => {
    for (let i = 0; i < 20; i++) {
      model.ask(join(images, 'nowhere.png'), 'What is it?');
      model.ask(image, '');
      model.ask(picture('corrupt.png'), 'What is it?', { signal: AbortSignal.timeout(1) });
    }
    await stillRight();
  });
});

describe('scenes and disposed things', () => {
  test('a scene of another model, and one that was disposed of', async () => {
    const other = await load(modelPath('pooling'), { threads: 1 });
    const foreign = await other.look(imagePath('pooling'));
    check(await failure(model.ask(foreign, golden.question).text()), 'IMAGE_INVALID', /another model/);
    const scene = await model.look(image);
    scene.dispose();
    scene.dispose();
    check(await failure(scene.ask(golden.question).text()), 'IMAGE_INVALID', /disposed/);
    check(await failure(model.ask(scene, golden.question).text()), 'IMAGE_INVALID', /disposed/);
    await stillRight();
    await other.dispose();
    for (const work of [
      foreign.ask('What is it?').text(),
      other.ask(image, 'What is it?').text(),
      other.look(image),
      other.memory(),
    ]) {
      check(await failure(work), 'MODEL_DISPOSED', /disposed/);
    }
    foreign.dispose();
    await other.dispose();
  });

  test('a scene disposed of while its question waits, or while it is set aside', async () => {
    const before = await model.memory();
    for (let turn = 0; turn < 12; turn++) {
      const [one, two] = [await model.look(image), await model.look(raw(8, 8, 192))];
      const answers = [one, two, one, two].map((scene) => scene.ask(golden.question, { maxTokens: 3 }));
      await new Promise((resolve) => setTimeout(resolve, 3 * turn));
      one.dispose();
      two.dispose();
      for (const answer of answers) {
        const text = await answer
          .text()
          .catch((error: LlavaSpError) => check(error, 'IMAGE_INVALID', /disposed/));
        if (text !== undefined) expect(text).not.toBe('');
      }
    }
    await stillRight();
    // Nothing of any scene is left; the picture of the last question was there before.
    expect((await model.memory()).cache).toBe(before.cache);
  });
});

/** A host that counts its threads. */
function countingHost(): { host: Host; alive: () => number; started: () => number } {
  let [started, ended] = [0, 0];
  const spawnWorker: Host['spawnWorker'] = () => {
    started++;
    const port = nodeHost.spawnWorker();
    let over = false;
    return {
      ...port,
      async terminate() {
        await port.terminate();
        if (!over) ended++;
        over = true;
      },
    };
  };
  return { host: { ...nodeHost, spawnWorker }, alive: () => started - ended, started: () => started };
}

/** Files of models and pictures that this process has open; where the system tells. */
async function openFiles(): Promise<string[]> {
  if (!existsSync('/proc/self/fd')) return [];
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((path) => /\.(json|safetensors|png|jpg|webp|avif)$/.test(path));
}

/** Threads and their ports that keep this process alive. */
function activeThreads(): number {
  return process.getActiveResourcesInfo().filter((kind) => /Worker|MessagePort/.test(kind)).length;
}

/** Loads a folder that can't be loaded. */
async function loadFailure(folder: string | URL, options: LoadOptions = {}): Promise<LlavaSpError> {
  const { host, alive } = countingHost();
  const before = activeThreads();
  const error = await failure(loadModel(host, folder, { threads: 2, ...options }));
  expect(alive(), 'threads left behind').toBe(0);
  expect(await openFiles(), 'files left open').toEqual([]);
  const after = activeThreads();
  expect(after, 'threads left running').toBeLessThanOrEqual(before);
  return error;
}

describe('model folders', () => {
  const sources: [string, unknown, ErrorCode, string | RegExp][] = [
    ['a missing folder', join(images, 'nowhere'), 'MODEL_NOT_FOUND', 'nowhere'],
    ['a file', image, 'MODEL_NOT_FOUND', 'image.png'],
    ['an address of another kind', new URL('ftp://host/model'), 'SOURCE_UNSUPPORTED', 'ftp:'],
    ['an address with a password', 'https://user:secret@127.0.0.1/model', 'OPTION_INVALID', 'password'],
    ["no hub's id", 'hub:model', 'OPTION_INVALID', '"model"'],
    ['a list of no files', ['config.json'], 'OPTION_INVALID', 'File'],
    ['no files at all', {}, 'MODEL_FILE_MISSING', 'config.json'],
    ['a file: URL of another machine', 'file://host/model', 'SOURCE_UNSUPPORTED', 'host'],
    ['an empty text', '', 'OPTION_INVALID', /empty/],
    ['nothing', undefined, 'OPTION_INVALID', 'undefined'],
    ['a number', 5, 'OPTION_INVALID', 'number'],
  ];
  test.each(sources)('%s', async (_what, source, code, culprit) => {
    check(await loadFailure(source as string), code, culprit);
  });

  const Q = 'language_model.model.layers.0.self_attn.q_proj';
  const NORM = 'language_model.model.layers.1.input_layernorm.weight';
  const gone = (file: string) => (folder: string) => rm(join(folder, file));
  const json = (file: string, edit: (json: Record<string, unknown>) => void) => (folder: string) =>
    editJson(folder, file, edit);
  const sub = (config: Record<string, unknown>, key: string) => config[key] as Record<string, unknown>;
  const bytes = (file: string, edit: (bytes: Buffer) => Uint8Array) => (folder: string) =>
    editBytes(folder, file, edit);
  const withLength = (length: bigint) => (content: Buffer) => {
    content.writeBigUInt64LE(length);
    return content;
  };
  const asFolder = (file: string) => async (folder: string) => {
    await rm(join(folder, file));
    await mkdir(join(folder, file));
  };
  const FIRST = 'model-00001-of-00004.safetensors';
  const LAST = 'model-00004-of-00004.safetensors';

  type Break = (folder: string) => Promise<void>;
  const broken: [string, Break, ErrorCode, string | RegExp][] = [
    ...['config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'].flatMap(
      (file): [string, Break, ErrorCode, string][] => {
        const code = file.startsWith('tokenizer') ? 'TOKENIZER_INVALID' : 'CONFIG_INVALID';
        return [
          [`no ${file}`, gone(file), 'MODEL_FILE_MISSING', file],
          [`an empty ${file}`, bytes(file, () => Buffer.alloc(0)), code, file],
          [`half of ${file}`, bytes(file, (all) => all.subarray(0, all.length / 2)), code, file],
          [`a list as ${file}`, bytes(file, () => Buffer.from('[]')), code, file],
          [`a folder as ${file}`, asFolder(file), 'FILE_UNREADABLE', file],
        ];
      },
    ),
    ['no index', gone('model.safetensors.index.json'), 'MODEL_FILE_MISSING', 'model.safetensors.index.json'],
    [
      'a missing shard',
      gone('model-00003-of-00004.safetensors'),
      'MODEL_FILE_MISSING',
      'model-00003-of-00004',
    ],
    [
      'an index that is no JSON',
      bytes('model.safetensors.index.json', () => Buffer.from('{')),
      'WEIGHTS_INDEX_INVALID',
      'index',
    ],
    [
      'an index that leaves the folder',
      json(
        'model.safetensors.index.json',
        (index) => (sub(index, 'weight_map')[`${Q}.weight`] = '../a.safetensors'),
      ),
      'WEIGHTS_INDEX_INVALID',
      '../a.safetensors',
    ],
    [
      'an index that names the wrong shard',
      json('model.safetensors.index.json', (index) => (sub(index, 'weight_map')[`${Q}.weight`] = LAST)),
      'WEIGHTS_INDEX_INVALID',
      Q,
    ],
    [
      'a tensor of another shape',
      (folder) => editEntry(folder, `${Q}.weight`, { shape: [32, 128] }),
      'WEIGHTS_SHAPE',
      Q,
    ],
    [
      'a norm of another size',
      json(
        'config.json',
        (config) =>
          (sub(config, 'vision_config').num_attention_heads = 2) &&
          (sub(config, 'text_config').intermediate_size = 192),
      ),
      'WEIGHTS_SHAPE',
      /mlp/,
    ],
    [
      'a vocabulary of another size',
      json('config.json', (config) => (sub(config, 'text_config').vocab_size = 400)),
      'WEIGHTS_SHAPE',
      /embed_tokens|lm_head/,
    ],
    [
      'a vocabulary smaller than the tokenizer',
      json('config.json', (config) => (sub(config, 'text_config').vocab_size = 40)),
      'TOKENIZER_INVALID',
      '40',
    ],
    [
      'a missing tensor',
      json('model.safetensors.index.json', (index) => delete sub(index, 'weight_map')[`${Q}.weight`]),
      'WEIGHTS_MISSING',
      Q,
    ],
    [
      'more layers than there are',
      json('config.json', (config) => (sub(config, 'text_config').num_hidden_layers = 3)),
      'WEIGHTS_MISSING',
      'layers.2.',
    ],
    [
      'an unknown architecture',
      json('config.json', (config) => (config.architectures = ['GPT5ForEverything'])),
      'ARCHITECTURE_UNKNOWN',
      'GPT5ForEverything',
    ],
    [
      'an unknown decoder',
      json('config.json', (config) => (sub(config, 'text_config').model_type = 'mamba')),
      'ARCHITECTURE_UNKNOWN',
      'mamba',
    ],
    [
      'an unknown vision tower',
      json('config.json', (config) => (sub(config, 'vision_config').model_type = 'dino')),
      'ARCHITECTURE_UNKNOWN',
      'dino',
    ],
    ['a header longer than the file', bytes(FIRST, withLength(600_000n)), 'WEIGHTS_HEADER_INVALID', FIRST],
    ['a header of a terabyte', bytes(FIRST, withLength(2n ** 40n)), 'WEIGHTS_HEADER_INVALID', FIRST],
    ['a header of 2^64 - 1 bytes', bytes(FIRST, withLength(2n ** 64n - 1n)), 'WEIGHTS_HEADER_INVALID', FIRST],
    ['a header of no bytes', bytes(FIRST, withLength(0n)), 'WEIGHTS_HEADER_INVALID', FIRST],
    ['a shard of 3 bytes', bytes(FIRST, (all) => all.subarray(0, 3)), 'WEIGHTS_HEADER_INVALID', FIRST],
    [
      'a shard cut short',
      bytes(LAST, (all) => all.subarray(0, all.length - 5)),
      'WEIGHTS_HEADER_INVALID',
      LAST,
    ],
    [
      'a tensor past the end',
      (folder) => editEntry(folder, `${Q}.weight`, { data_offsets: [0, 1e9] }),
      'WEIGHTS_HEADER_INVALID',
      Q,
    ],
    [
      'an unknown type',
      (folder) => editEntry(folder, `${Q}.weight`, { dtype: 'F8_E4M3' }),
      'WEIGHTS_DTYPE',
      Q,
    ],
    [
      'whole numbers for floats',
      (folder) => editEntry(folder, `${Q}.weight`, { dtype: 'I32' }),
      'WEIGHTS_DTYPE',
      Q,
    ],
    ['whole numbers in a norm', (folder) => editEntry(folder, NORM, { dtype: 'I32' }), 'WEIGHTS_DTYPE', NORM],
    ['a NaN in a matrix', (folder) => putValue(folder, `${Q}.weight`, NaN, 4095), 'WEIGHTS_NOT_FINITE', Q],
    [
      'an infinity in a matrix',
      (folder) => putValue(folder, `${Q}.weight`, -Infinity, 0),
      'WEIGHTS_NOT_FINITE',
      Q,
    ],
    ['a NaN in a norm', (folder) => putValue(folder, NORM, NaN, 63), 'WEIGHTS_NOT_FINITE', NORM],
    [
      'a NaN in a convolution',
      (folder) => putValue(folder, 'spatial_features.conv_12.weight', NaN, 77_777),
      'WEIGHTS_NOT_FINITE',
      'conv_12',
    ],
    [
      'a NaN in a position',
      (folder) => putValue(folder, 'vision_tower.vision_model.embeddings.position_embedding.weight', NaN, 9),
      'WEIGHTS_NOT_FINITE',
      'position_embedding',
    ],
    [
      'no chat template',
      json('tokenizer_config.json', (config) => delete config.chat_template),
      'TOKENIZER_INVALID',
      'chat_template',
    ],
    [
      'a chat template that fails',
      json('tokenizer_config.json', (config) => (config.chat_template = '{{ nothing() }}')),
      'TOKENIZER_INVALID',
      'template',
    ],
    [
      'a chat template without the image',
      json('tokenizer_config.json', (config) => (config.chat_template = 'hello')),
      'TOKENIZER_INVALID',
      'image',
    ],
    [
      'a tokenizer of another kind',
      json('tokenizer.json', (tokenizer) => (sub(tokenizer, 'model').type = 'Unigram')),
      'TOKENIZER_UNSUPPORTED',
      'Unigram',
    ],
    [
      'a preprocessor of another size',
      json('preprocessor_config.json', (config) =>
        Object.assign(config, { size: { shortest_edge: 64 }, crop_size: { height: 64, width: 64 } }),
      ),
      'CONFIG_INVALID',
      '64 x 64',
    ],
  ];
  test.each(broken)('%s', async (_what, change, code, culprit) => {
    await withCopy(NAME, change, async (folder) => {
      check(await loadFailure(folder), code, culprit);
    });
  });

  const quantised: [string, Break, ErrorCode, string | RegExp][] = [
    ['a NaN in scales', (folder) => putValue(folder, `${Q}.scales`, NaN, 5), 'WEIGHTS_NOT_FINITE', Q],
    ['a NaN in biases', (folder) => putValue(folder, `${Q}.biases`, NaN, 100), 'WEIGHTS_NOT_FINITE', Q],
    [
      'a NaN in the scales of the embedding',
      (folder) => putValue(folder, 'language_model.model.embed_tokens.scales', NaN, 0),
      'WEIGHTS_NOT_FINITE',
      'embed_tokens',
    ],
    ['no scales', (folder) => editEntry(folder, `${Q}.scales`, { name: `${Q}.skales` }), 'WEIGHTS_DTYPE', Q],
    [
      'no biases',
      (folder) => editEntry(folder, `${Q}.biases`, { name: `${Q}.byases` }),
      'WEIGHTS_MISSING',
      Q,
    ],
    [
      'no quantization in config.json',
      json('config.json', (config) => delete config.quantization),
      'CONFIG_INVALID',
      /quanti/,
    ],
    [
      'other groups than stored',
      json('config.json', (config) => (sub(config, 'quantization').group_size = 64)),
      'WEIGHTS_SHAPE',
      /scales|groups/,
    ],
  ];
  test.each(quantised)('int4: %s', async (_what, change, code, culprit) => {
    await withCopy('cropping-q4', change, async (folder) => {
      check(await loadFailure(folder), code, culprit);
    });
  });

  test.each([
    ['a norm of the decoder', 'cropping', NORM],
    ['a norm of the vision tower', 'cropping', 'vision_tower.vision_model.pre_layrnorm.weight'],
    ['a norm in front of int4 weights', 'cropping-q4', NORM],
    ['a bias in front of int4 weights', 'cropping-q4', 'multi_modal_projector.linear_1.bias'],
  ])(
    'weights so large that sums overflow, in %s, give an error and no answer',
    async (_what, name, tensor) => {
      await withCopy(
        name,
        (folder) => putValue(folder, tensor, 3e38, 'all'),
        async (folder) => {
          const other = await load(folder, { threads: 2 });
          const { question } = await goldenOf(name);
          for (let i = 0; i < 2; i++) {
            check(await failure(other.ask(image, question).text()), 'LOGITS_NOT_FINITE', /not finite/);
          }
          await other.dispose();
        },
      );
    },
  );

  const options: [string, unknown, ErrorCode, string | RegExp][] = [
    ['device', 'gpu', 'OPTION_INVALID', 'device'],
    ['device', 5n, 'OPTION_INVALID', 'device'],
    ...['f64', 16, null].map(
      (value) => ['precision', value, 'OPTION_INVALID', 'precision'] as [string, unknown, ErrorCode, string],
    ),
    ...['mine', {}, null].map(
      (value) => ['gpu', value, 'OPTION_INVALID', 'gpu'] as [string, unknown, ErrorCode, string],
    ),
    ['kernels', 'avx', 'OPTION_INVALID', 'kernels'],
    ...[0, -1, 1.5, 17, NaN, '2', null].map(
      (value) => ['threads', value, 'OPTION_INVALID', 'threads'] as [string, unknown, ErrorCode, string],
    ),
    ...[0, -5, 1.5, 513, NaN, '100', null].map(
      (value) => ['context', value, 'OPTION_INVALID', 'context'] as [string, unknown, ErrorCode, string],
    ),
    ['context', 100, 'OPTION_INVALID', /context is 100; the image/],
    ['context', 262, 'OPTION_INVALID', /context is 262; the image/],
    ['onProgress', 'yes', 'OPTION_INVALID', 'onProgress'],
    ['onWarning', null, 'OPTION_INVALID', 'onWarning'],
    ['signal', 5, 'OPTION_INVALID', 'signal'],
    ['signal', AbortSignal.abort(), 'ABORTED', 'aborted'],
  ];
  test.each(options)('load with %s: %o', async (name, value, code, culprit) => {
    check(await loadFailure(modelPath(NAME), { [name]: value }), code, culprit);
  });

  test('the smallest context that is taken answers one token', async () => {
    const shortest = await loadFailure(modelPath(NAME), { context: 151 });
    const least = Number(/take (\d+) tokens/.exec(shortest.message)?.[1]);
    const small = await load(modelPath(NAME), { context: least, threads: 1 });
    const answer = small.ask(image, '?');
    expect((await answer.text()).length).toBeGreaterThan(0);
    expect(answer.usage.completionTokens).toBe(1);
    check(await failure(small.ask(image, golden.question).text()), 'PROMPT_TOO_LONG', String(least));
    await small.dispose();
  });

  test("a GPUDevice and the device that can't use it", async () => {
    const gpu = { createBuffer: () => undefined, queue: {} } as unknown as GPUDevice;
    check(await loadFailure(modelPath(NAME), { gpu, device: 'wasm' }), 'OPTION_INVALID', /gpu.*wasm/);
  });

  test('options of load that are no object', async () => {
    check(await failure(load(modelPath(NAME), null as unknown as LoadOptions)), 'OPTION_INVALID', 'options');
  });

  test('an abort or a listener that throws at any phase leaves nothing behind', async () => {
    for (const phase of ['files', 'device', 'weights', 'compile'] as const) {
      const { host, alive, started } = countingHost();
      const controller = new AbortController();
      const aborted = loadModel(host, modelPath(NAME), {
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(),
      });
      check(await failure(aborted), 'ABORTED', 'aborted');
      const thrown = loadModel(host, modelPath(NAME), {
        onProgress: (progress) => {
          if (progress.phase === phase) throw new Error('the listener fails');
        },
      });
      await expect(thrown).rejects.toThrow('the listener fails');
      expect(alive(), phase).toBe(0);
      expect(started() > 0).toBe(phase === 'weights' || phase === 'compile' || started() > 0);
      expect(await openFiles()).toEqual([]);
    }
  });

  test('after all of it the first model is as good as new', stillRight);
});
