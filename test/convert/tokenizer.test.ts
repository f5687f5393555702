/** tokenizer.json from published tokenizer files: the ids that the published models' own tokenizers give. */
import { readFile, stat } from 'node:fs/promises';
import { PbfWriter } from 'pbf';
import { describe, expect, it } from 'vitest';
import type { PublishedTokenizer } from '../../packages/convert/src/contract.ts';
import { convertTokenizer } from '../../packages/convert/src/tokenizer/index.ts';
import { llamaTokenizer } from '../../packages/convert/src/tokenizer/llama.ts';
import { kinds, parseSentencePiece } from '../../packages/convert/src/tokenizer/sentencepiece.ts';
import type { ModelFiles } from '../../packages/core/src/host.ts';
import { assemblePrompt, createChatTemplate, type ChatMessage } from '../../packages/core/src/text/chat.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { memoryFiles } from './hand_made.ts';

const published = new URL('../golden/published/', import.meta.url);

function folder(path: string, hidden: readonly string[] = []): ModelFiles {
  const at = (name: string) => new URL(`${path}/${name}`, published);
  return {
    location: path,
    has: async (name) => !hidden.includes(name) && (await stat(at(name)).catch(() => null)) !== null,
    async open(name) {
      const bytes = new Uint8Array(await readFile(at(name)));
      return { size: bytes.length, read: async (a, b) => bytes.slice(a, b), close: async () => undefined };
    },
  };
}

interface Golden {
  readonly messages: readonly ChatMessage[];
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly image_token_id: number;
}

const vicuna = { form: 'sentencepiece', prompt: 'vicuna_v1' } as const;
const layouts = [
  { name: 'lora-cropping', files: 'lora-cropping/base', image: '<image>', absent: true, ...vicuna },
  { name: 'lora-pooling', files: 'lora-pooling/base', image: '<image>', absent: true, ...vicuna },
  { name: 'internvl2', files: 'internvl2/model', image: '<IMG_CONTEXT>', form: 'bpe', prompt: 'internvl' },
  {
    name: 'siglip-qwen2',
    files: 'siglip-qwen2/model',
    image: '<image>',
    form: 'bpe',
    prompt: 'chatml',
    absent: true,
  },
  { name: 'llava-hf-old', files: 'llava-hf-old/model', image: '<image>', form: 'json', prompt: 'vicuna_v1' },
] as const;

describe('published tokenizers', () => {
  for (const layout of layouts) {
    it(`${layout.name}: the prompt and its ids are the golden ones`, async () => {
      const golden = JSON.parse(
        await readFile(new URL(`${layout.name}/golden/golden.json`, published), 'utf8'),
      ) as Golden;
      const source: PublishedTokenizer = {
        files: folder(layout.files),
        form: layout.form,
        image: { token: layout.image, id: golden.image_token_id, absent: 'absent' in layout },
        prompt: layout.prompt,
      };
      const { tokenizer: json, config } = await convertTokenizer(source, 4096);
      const tokenizer = createTokenizer(json, config);
      const template = createChatTemplate(config, tokenizer, golden.image_token_id);
      const { before, after, text } = assemblePrompt(tokenizer, template, golden.messages);
      expect(text).toBe(golden.prompt);
      expect([...before, golden.image_token_id, ...after]).toEqual(golden.prompt_ids);
    });
  }

  it('has no place for an image token whose id is taken', async () => {
    const image = { token: '<image>', id: 0, absent: true };
    const source = { files: folder('lora-cropping/base'), image, ...vicuna };
    await expect(convertTokenizer(source, null)).rejects.toMatchObject({ code: 'TOKENIZER_INVALID' });
  });
});

/** A model file of these pieces. */
function modelFile(
  pieces: readonly (readonly [text: string, score: number, kind: number])[],
  more: { type?: number; charsMap?: boolean; joinSpaces?: boolean } = {},
): Uint8Array {
  const pbf = new PbfWriter();
  for (const piece of pieces) {
    pbf.writeMessage(
      1,
      ([text, score, kind], message) => {
        message.writeStringField(1, text);
        message.writeFloatField(2, score);
        message.writeVarintField(3, kind);
      },
      piece,
    );
  }
  pbf.writeMessage(
    2,
    (type, message) => {
      message.writeVarintField(3, type);
      message.writeBooleanField(35, true);
    },
    more.type ?? 2,
  );
  pbf.writeMessage(
    3,
    ({ charsMap, joinSpaces }, message) => {
      if (charsMap) message.writeBytesField(2, Uint8Array.of(1, 2, 3));
      message.writeBooleanField(3, true);
      message.writeBooleanField(4, joinSpaces === true);
    },
    more,
  );
  return pbf.finish();
}

const specials = [
  ['<unk>', 0, kinds.unknown],
  ['<s>', 0, kinds.control],
  ['</s>', 0, kinds.control],
] as const;

describe('SentencePiece models', () => {
  it('of 32,000 pieces are converted within seconds', () => {
    const letters = 'abcdefghijklmnopqrstuvwxyz';
    const texts = new Set<string>([...letters, '▁']);
    let state = 1;
    while (texts.size < 31_740) {
      // Every piece is two that exist, as in a trained model.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const length = 2 + (state % 7);
      let text = (state >>> 8) % 3 === 0 ? '▁' : '';
      for (let i = 0; i < length; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        text += letters[(state >>> 12) % 26];
      }
      texts.add(text);
    }
    const bytes = Array.from(
      { length: 256 },
      (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 0, kinds.byte] as const,
    );
    const normal = [...texts].map((text, i) => [text, -i, kinds.normal] as const);
    const start = performance.now();
    const json = llamaTokenizer(parseSentencePiece(modelFile([...specials, ...bytes, ...normal])));
    const tokenizer = createTokenizer(json, { bos_token: '<s>' });
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(tokenizer.prefix).toEqual([1]);
    expect(tokenizer.encode('é')).toEqual([
      tokenizer.id('▁'),
      tokenizer.id('<0xC3>'),
      tokenizer.id('<0xA9>'),
    ]);
    expect(tokenizer.decode(tokenizer.encode(' zwei é 中 words'))).toBe(' zwei é 中 words');
  });

  it('make the piece of the higher score first, whatever its length', () => {
    const pieces = [
      ...specials,
      ...['▁', 'a', 'b', 'c'].map((text, i) => [text, -10 - i, kinds.normal] as const),
      ['bc', -1, kinds.normal],
      ['ab', -2, kinds.normal],
      ['abc', -3, kinds.normal],
    ] as const;
    const json = llamaTokenizer(parseSentencePiece(modelFile(pieces)));
    expect((json.model as { merges: unknown }).merges).toEqual([
      ['b', 'c'],
      ['a', 'b'],
      // Two ways to one piece: the longer beginning first, as Hugging Face sorts them.
      ['ab', 'c'],
      ['a', 'bc'],
    ]);
    const tokenizer = createTokenizer(json, {});
    expect(tokenizer.encode('abc').map((id) => tokenizer.token(id))).toEqual(['▁', 'abc']);
    expect(tokenizer.encode('abb').map((id) => tokenizer.token(id))).toEqual(['▁', 'ab', 'b']);
  });

  it('of other kinds are refused by name', () => {
    const refused = (file: Uint8Array, code: string, words: RegExp) =>
      expect(() => parseSentencePiece(file)).toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(words) as string }),
      );
    refused(modelFile(specials, { type: 1 }), 'TOKENIZER_UNSUPPORTED', /byte-pair/);
    refused(modelFile(specials, { charsMap: true }), 'TOKENIZER_UNSUPPORTED', /table/);
    refused(modelFile(specials, { joinSpaces: true }), 'TOKENIZER_UNSUPPORTED', /spaces/);
    refused(modelFile([...specials, specials[0]]), 'TOKENIZER_INVALID', /same text/);
    refused(modelFile([]), 'TOKENIZER_INVALID', /no pieces/);
    refused(new Uint8Array(0), 'TOKENIZER_INVALID', /no pieces/);
  });

  it('damaged in any way end in a model or a clear error', () => {
    const file = modelFile([...specials, ['a', -1, kinds.normal]]);
    let state = 9;
    for (let run = 0; run < 2000; run++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const bytes = file.slice(0, run % 3 === 0 ? state % file.length : file.length);
      if (bytes.length > 0) bytes[(state >>> 8) % bytes.length] = state >>> 24;
      try {
        expect(parseSentencePiece(bytes).pieces.length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^TOKENIZER_/) as string });
      }
    }
  });

  it('are read no further when there is no such file', async () => {
    const image = { token: '<image>', id: 9, absent: true };
    await expect(
      convertTokenizer({ files: memoryFiles({}), image, form: 'json', prompt: 'chatml' }, null),
    ).rejects.toThrow('tokenizer.json');
  });
});
