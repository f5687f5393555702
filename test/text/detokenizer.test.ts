import { describe, expect, test } from 'vitest';
import { Tokenizer as Library } from '../../packages/core/src/text/library.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { byteLevelFiles, llamaFiles, random, tokenizerOf } from './tokenizers.ts';

const kinds = {
  'byte level': byteLevelFiles(),
  'byte fallback': llamaFiles('legacy'),
  metaspace: llamaFiles('metaspace'),
};
const seed = 20_250_705;
const decodeOptions = { skip_special_tokens: true, clean_up_tokenization_spaces: false };

describe.each(Object.entries(kinds))('%s', (kind, files) => {
  const tokenizer = tokenizerOf(files);
  const library = new Library(files.json, files.config);
  const vocab = Object.keys((files.json.model as { vocab: object }).vocab).length;
  const stream = (ids: number[]): string[] => {
    const detokenizer = tokenizer.detokenizer();
    return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
  };

  test(`random ids: the pieces join to the library's decoding (seed ${seed})`, () => {
    const next = random(seed);
    for (let round = 0; round < 400; round++) {
      const ids = Array.from({ length: 1 + Math.floor(next() * 40) }, () => Math.floor(next() * vocab));
      expect(stream(ids).join(''), `${kind}, ids ${ids.join(' ')}`).toBe(library.decode(ids, decodeOptions));
    }
  });

  test('no piece breaks a character, and what can be shown is shown at once', () => {
    const text = 'a é中🙂 the red star ï, 🏳️‍🌈!';
    const ids = tokenizer.encode(text);
    const pieces = stream(ids);
    if (kind !== 'metaspace') expect(pieces.join('')).toBe(text);
    let shown = '';
    ids.forEach((_, i) => {
      shown += pieces[i];
      const whole = library.decode(ids.slice(0, i + 1), decodeOptions);
      // All of the text so far, but for a character whose last byte has not come.
      expect(shown).toBe(whole.replace(/\uFFFD+$/u, ''));
      expect(pieces[i]).not.toMatch(/\p{Surrogate}/u);
      expect(pieces[i]).not.toContain('\uFFFD');
    });
  });

  test('special tokens and ids outside the vocabulary write nothing', () => {
    const special = (content: string) => tokenizer.id(content) ?? -1;
    const ids = tokenizer.encode('the red');
    expect(stream([special('<s>'), special('<image>'), 999_999, -1, special('</s>')]).join('')).toBe('');
    expect(stream([special('<s>'), ...ids, 999_999, special('</s>')]).join('')).toBe(tokenizer.decode(ids));
  });

  test('an unfinished character becomes U+FFFD at the end, once', () => {
    if (kind === 'metaspace') return;
    const ids = tokenizer.encode('🙂').slice(0, -1);
    const pieces = stream(ids);
    expect(pieces.slice(0, -1).join('').trim()).toBe('');
    expect(pieces.at(-1)).toBe('\uFFFD');
  });
});

test('an added token that is text comes out as it is, between bytes', () => {
  const { json, config } = byteLevelFiles();
  const id = 5000;
  const added = [
    ...(json.added_tokens as object[]),
    { id, content: ' 0.50é', special: false, normalized: false },
  ];
  const tokenizer = createTokenizer({ ...json, added_tokens: added }, config);
  const half = tokenizer.encode('é')[0];
  expect(tokenizer.encode('a 0.50é')).toContain(id);
  const detokenizer = tokenizer.detokenizer();
  expect([detokenizer.push(id), detokenizer.push(half), detokenizer.push(id), detokenizer.flush()]).toEqual([
    ' 0.50é',
    '',
    '\uFFFD 0.50é',
    '',
  ]);
});

test('Strip works at both ends of a stream', () => {
  const { json, config } = llamaFiles('legacy');
  const decoder = {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 2, stop: 2 },
    ],
  };
  const tokenizer = createTokenizer({ ...json, decoder }, config);
  const library = new Library({ ...json, decoder }, config);
  const [space, spaces, a] = ['▁', '▁▁', 'a'].map((piece) => tokenizer.id(piece) ?? -1);
  const next = random(7);
  for (let round = 0; round < 300; round++) {
    const ids = Array.from(
      { length: 1 + Math.floor(next() * 8) },
      () => [space, spaces, a][Math.floor(next() * 3)],
    );
    expect(tokenizer.decode(ids), ids.join(' ')).toBe(library.decode(ids, decodeOptions));
  }
});

test('the cost of a token does not grow with the answer', () => {
  const tokenizer = tokenizerOf(byteLevelFiles());
  const ids = tokenizer.encode('the red star is at [0.10, 0.20, 0.30, 0.40]. ');
  const detokenizer = tokenizer.detokenizer();
  const run = (count: number): number => {
    const start = performance.now();
    for (let i = 0; i < count; i++) detokenizer.push(ids[i % ids.length]);
    return performance.now() - start;
  };
  run(20_000);
  const best = () => Math.min(...Array.from({ length: 9 }, () => run(2000)));
  const early = best();
  run(300_000);
  const late = best();
  // Re-decoding everything would make it some 10 times slower; 4 leaves room for a busy machine.
  expect(late).toBeLessThan(4 * early + 5);
});

test.each([
  [{ type: 'WordPiece' }],
  [{ type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'ByteFallback' }] }],
  [{ type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Strip', content: ' ', start: 1 }] }],
])('a decoder that can not be streamed is refused: %j', (decoder) => {
  const { json, config } = llamaFiles('legacy');
  expect(() => createTokenizer({ ...json, decoder }, config)).toThrow(
    expect.objectContaining({ code: 'TOKENIZER_UNSUPPORTED' }),
  );
});
