import { describe, expect, test } from 'vitest';
import { buildNfa } from '../../packages/core/src/text/constraint/nfa.ts';
import { DEAD, Dfa } from '../../packages/core/src/text/constraint/dfa.ts';
import { parseRegex } from '../../packages/core/src/text/constraint/regex.ts';
import { Constraints } from '../../packages/core/src/text/constraint/index.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { constraintsOf, processorTime, randomAnswer, vocabularies } from './constraint_walks.ts';
import { byteLevelFiles, random } from './tokenizers.ts';

const seed = 20_250_706;

/** Random regular expressions over a few characters, so that random texts have a chance. */
function randomRegex(next: () => number, depth = 0): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];
  const atom = (): string => {
    const kind = next();
    if (depth < 3 && kind < 0.3)
      return `${pick(['(', '(?:', `(?<n${depth}${Math.floor(next() * 1e9)}>`])}${randomRegex(next, depth + 1)})`;
    if (kind < 0.5)
      return pick([
        '[ab]',
        '[^a]',
        '[a-c0]',
        '[\\d\\-]',
        '[^\\s\\w]',
        '[é-ï中]',
        '[\\u{1F600}-\\u{1F64F}]',
        '[^]',
      ]);
    if (kind < 0.65)
      return pick([
        '.',
        '\\d',
        '\\w',
        '\\s',
        '\\S',
        '\\W',
        '\\D',
        '\\p{Lu}',
        '\\P{L}',
        '\\n',
        '\\x41',
        '\\u00e9',
        '\\.',
      ]);
    return pick(['a', 'b', 'c', '0', '1', ' ', 'é', '中', '🙂', '-', ',', '\\[']);
  };
  const term = (): string =>
    atom() + (next() < 0.3 ? pick(['*', '+', '?', '{2}', '{1,3}', '{0,2}', '{2,}', '*?', '{0}']) : '');
  const terms = Array.from({ length: 1 + Math.floor(next() * 3) }, term).join('');
  return next() < 0.2 ? `${terms}|${next() < 0.2 ? '' : term()}` : terms;
}

function matches(dfa: Dfa, text: string): boolean {
  let state = 0;
  for (const byte of new TextEncoder().encode(text)) {
    state = dfa.step(state, byte);
    if (state === DEAD) return false;
  }
  return dfa.accepting(state);
}

describe('regular expressions', () => {
  test(`match what JavaScript's own match (seed ${seed})`, () => {
    const next = random(seed);
    const alphabet = [...'abc01 é中🙂-,[A.\nïü😀_'];
    let [same, hits] = [0, 0];
    for (let round = 0; round < 600; round++) {
      const source = randomRegex(next);
      const truth = new RegExp(`^(?:${source})$`, 'u');
      let dfa: Dfa;
      try {
        dfa = new Dfa(buildNfa(parseRegex(source)));
      } catch (error) {
        expect(error, source).toMatchObject({ code: 'FORMAT_INVALID' });
        expect(String(error), source).toContain('no text at all');
        continue;
      }
      for (let i = 0; i < 40; i++) {
        const text = Array.from(
          { length: Math.floor(next() * 6) },
          () => alphabet[Math.floor(next() * alphabet.length)],
        ).join('');
        const wanted = truth.test(text);
        if (wanted) hits++;
        expect(matches(dfa, text), `${source} on ${JSON.stringify(text)}`).toBe(wanted);
        same++;
      }
    }
    expect(same).toBeGreaterThan(20_000);
    expect(hits).toBeGreaterThan(1000);
  });

  test('what JavaScript refuses is refused, and what is not supported says where', () => {
    for (const source of [
      '(',
      ')',
      '[',
      'a**',
      '{2}',
      'a{2',
      'a{3,2}',
      '\\q',
      '[b-a]',
      '\\',
      '}',
      ']',
      '\\u{110000}',
      '[\\d-z]',
      '\\p{Nope}',
      '\\00',
      'a{1000}{1000}',
      '(?i:a)x(',
    ]) {
      expect(() => new RegExp(source, 'u'), source).toThrow();
      expect(() => parseRegex(source), source).toThrow(expect.objectContaining({ code: 'FORMAT_INVALID' }));
    }
    for (const [source, what] of [
      ['a(?=b)', 'lookaround and modifiers are not supported at character 2'],
      ['(?<!a)b', 'lookaround and modifiers are not supported at character 1'],
      ['(a)\\1', '"\\1" is not supported at character 4'],
      ['\\bword', '"\\b" is not supported at character 1'],
      ['a^b', '"^" is not supported here'],
      ['(?<x>a)\\k<x>', '"\\k" is not supported'],
      ['\\ud800', 'half a character'],
      ['[^\\s\\S]', 'no text at all fits it'],
    ]) {
      expect(() => buildNfa(parseRegex(source)), source).toThrow(what);
    }
  });

  test('anchors at both ends say nothing new', () => {
    const dfa = new Dfa(buildNfa(parseRegex('^ab\\$$')));
    expect([matches(dfa, 'ab$'), matches(dfa, 'ab')]).toEqual([true, false]);
    expect(matches(new Dfa(buildNfa(parseRegex('a\\$'))), 'a$')).toBe(true);
  });
});

describe.each(vocabularies)('answers of random models: $kind', (vocabulary) => {
  test(`whole ones match, and none comes to a dead end (seed ${seed})`, () => {
    const next = random(seed);
    const constraints = constraintsOf(vocabulary);
    let whole = 0;
    for (let round = 0; round < 150; round++) {
      const regex = randomRegex(next);
      const truth = new RegExp(`^(?:${regex})$`, 'u');
      try {
        constraints.of({ regex });
      } catch (error) {
        expect(String(error), regex).toMatch(/no text at all|can't spell/);
        continue;
      }
      for (let i = 0; i < 4; i++) {
        const answer = randomAnswer(constraints, vocabulary, { regex }, next, { most: 40 });
        if (!answer.whole) continue;
        whole++;
        expect(truth.test(answer.text), `${regex} gave ${JSON.stringify(answer.text)}`).toBe(true);
      }
    }
    expect(whole).toBeGreaterThan(200);
  });

  test.each([
    [['the red star', 'the', 'a', 'thea', 'star!', 'the\n']],
    [[' the red star', ' the', ' a', ' thea', ' star!', ' the\n']],
  ])('choices are answered word for word, white space at their ends too: %j', (choices) => {
    const next = random(seed);
    const constraints = constraintsOf(vocabulary);
    const seen = new Set<string>();
    if (vocabulary.kind === 'no decoder' && choices[0].startsWith(' ')) {
      // Between its words there is one space, and none before the first.
      expect(() => constraints.of({ choices })).toThrow("can't spell");
      return;
    }
    for (let i = 0; i < 200; i++) {
      const { text, whole } = randomAnswer(constraints, vocabulary, { choices }, next);
      expect(whole).toBe(true);
      seen.add(text);
    }
    for (const text of seen) expect(choices).toContain(text);
    // Words that are joined by spaces spell little of it.
    expect(seen.size).toBeGreaterThanOrEqual(vocabulary.kind === 'no decoder' ? 1 : 4);
  });

  test('special tokens are never allowed', () => {
    const constraints = constraintsOf(vocabulary);
    const walk = constraints.of({ regex: '[\\s\\S]*' }).walk();
    // Behind a first token: some tokenizers put a space before every text.
    for (let id = 0; id < vocabulary.size; id++) {
      if (vocabulary.tokenizer.token(id) !== ' ' && !/^[▁Ġ]/.test(vocabulary.tokenizer.token(id) ?? ''))
        continue;
      walk.take(id);
      break;
    }
    const mask = walk.allowed();
    const ids = Array.from({ length: vocabulary.size }, (_, id) => id).filter(
      (id) => ((mask[id >> 5] >>> (id & 31)) & 1) === 1,
    );
    expect(ids.filter((id) => vocabulary.tokenizer.isSpecial(id))).toEqual([vocabulary.eos]);
    expect(ids.length).toBeGreaterThan(vocabulary.size / 2);
  });
});

test('a character whose bytes are tokens of their own is written whole', () => {
  const vocabulary = vocabularies[1];
  const next = random(3);
  const constraints = constraintsOf(vocabulary);
  for (let i = 0; i < 20; i++) {
    const answer = randomAnswer(constraints, vocabulary, { regex: '[🙂🙃é]{1,5}' }, next);
    expect(answer.whole).toBe(true);
    expect(answer.text).toMatch(/^[🙂🙃é]{1,5}$/u);
  }
});

test('a vocabulary that can not spell the text at all is refused at once', () => {
  const metaspace = vocabularies[2];
  // It has no token for z and none for bytes.
  expect(() => constraintsOf(metaspace).of({ choices: ['%%'] })).toThrow("can't spell");
  const answer = randomAnswer(constraintsOf(metaspace), metaspace, { regex: '(?:%|a|%b)+' }, random(1));
  expect(answer.text).toMatch(/^a+$/);
});

test('no end token: an answer ends where nothing else may follow', () => {
  const { tokenizer, size } = vocabularies[0];
  const walk = new Constraints(tokenizer, size, []).of({ choices: ['ab'] }).walk();
  for (const letter of ['a', 'b']) {
    expect(walk.ended).toBe(false);
    walk.take(tokenizer.id(letter) ?? -1);
  }
  expect(walk.ended).toBe(true);
});

test.each(
  [
    ['a{1000}'.repeat(1) + '(?:(?:a{100}){100}){100}'],
    ['(?:' + 'a?'.repeat(100) + '){60000}'],
    ['((((a{60000}){60000}){60000}){60000})'],
    ['[\\p{L}\\p{N}]{5000}'],
    ['\\p{L}'.repeat(6000)],
    ['\\p{L}'.repeat(3900)],
    ['[\\p{L}]'.repeat(2800)],
    [Array.from({ length: 2000 }, (_, i) => `(?<n${i}>a)`).join('') + 'b{65000}'],
    ['\\'.repeat(9998) + 'a{65536}$'],
    ['a'.repeat(5_000_000)],
    // Every other character: each of them is an edge of the automaton.
    [`[${Array.from({ length: 900 }, (_, i) => String.fromCharCode(0x80 + 2 * i)).join('')}]{1900}`],
  ].map(([regex]) => [regex.slice(0, 40), regex]),
)('hostile size is refused soon: %s', (_, regex) => {
  const start = processorTime();
  expect(() => constraintsOf(vocabularies[0]).of({ regex })).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID' }),
  );
  expect(processorTime() - start).toBeLessThan(2000);
});

test('few properties may be named in one format: each takes long to find out', () => {
  const names = 'Latin Greek Cyrillic Han Hangul Arabic Hebrew Thai Lao'.split(' ');
  const regex = names.map((name) => `\\p{Script=${name}}`).join('');
  expect(() => parseRegex(regex)).toThrow('it names more than 8 properties');
  expect(() => parseRegex('\\p{Lu}\\P{Lu}'.repeat(9))).not.toThrow();
});

test('hostile ambiguity costs bounded time and memory', () => {
  const vocabulary = vocabularies[0];
  const constraints = constraintsOf(vocabulary);
  const next = random(9);
  const start = performance.now();
  for (const regex of ['(?:a|b)*a(?:a|b){40}c', '(?:a*)*(?:a*)*b', '(?:.|..|...){200}']) {
    try {
      const { text } = randomAnswer(constraints, vocabulary, { regex }, next, { most: 60, endings: 0 });
      expect(text).toMatch(/^[^]*$/);
    } catch (error) {
      expect(error).toMatchObject({ code: 'FORMAT_INVALID' });
    }
  }
  expect(performance.now() - start).toBeLessThan(20_000);
});

test('an automaton that is made anew goes on where an answer is', () => {
  // 2^18 states, far more than are kept.
  const vocabulary = vocabularies[0];
  const constraints = constraintsOf(vocabulary);
  const regex = '(?:a|b)*a(?:a|b){17}';
  const truth = new RegExp(`^(?:${regex})$`);
  const next = random(5);
  let whole = 0;
  for (let i = 0; i < 60; i++) {
    const answer = randomAnswer(constraints, vocabulary, { regex }, next, { most: 120, endings: 0.3 });
    if (!answer.whole) continue;
    whole++;
    expect(answer.text).toMatch(truth);
  }
  expect(whole).toBeGreaterThan(10);
});

test('an added token that is text is spelt as it is', () => {
  const { json, config } = byteLevelFiles();
  const id = 320;
  const added = [
    ...(json.added_tokens as object[]),
    { id, content: ' 0.50é', special: false, normalized: false },
  ];
  const tokenizer = createTokenizer({ ...json, added_tokens: added }, config);
  const walk = new Constraints(tokenizer, 321, [1]).of({ regex: '0\\.50é!' }).walk();
  expect((walk.allowed()[id >> 5] >>> (id & 31)) & 1).toBe(1);
  walk.take(id);
  walk.take(tokenizer.id('!') ?? -1);
  expect(walk.ended).toBe(true);
});

test('counted characters: at every place the tokens that still fit, and no other', () => {
  const [vocabulary] = vocabularies;
  const spelling = vocabulary.tokenizer.spelling();
  const texts = Array.from({ length: vocabulary.size }, (_, id) => {
    const bytes = spelling.bytes(id);
    return bytes?.every((byte) => byte < 0x80) ? String.fromCharCode(...bytes) : null;
  });
  const most = 60;
  const walk = constraintsOf(vocabulary)
    .of({ regex: `x[^\\[\\]\\n]{1,${most}}` })
    .walk();
  const next = random(seed);
  walk.take(vocabulary.tokenizer.id('x') ?? -1);
  let left = most;
  while (left > 0) {
    const mask = walk.allowed();
    const fitting: number[] = [];
    texts.forEach((text, id) => {
      if (text === null || text === '') return;
      const fits = text.length <= left && !/[[\]\n]/.test(text);
      expect((mask[id >> 5] >>> (id & 31)) & 1, `${JSON.stringify(text)} with ${left} left`).toBe(
        fits ? 1 : 0,
      );
      if (fits) fitting.push(id);
    });
    const id = fitting[Math.floor(next() * fitting.length)];
    walk.take(id);
    left -= texts[id]?.length ?? 0;
  }
  expect(walk.ended).toBe(true);
});

test.each(vocabularies.slice(0, 2))('all tokens that fit are allowed, and no other: $kind', (vocabulary) => {
  const constraints = constraintsOf(vocabulary);
  const spelling = vocabulary.tokenizer.spelling();
  const next = random(seed);
  const first = Array.from({ length: vocabulary.size }, (_, id) => id).filter(
    (id) => !vocabulary.tokenizer.isSpecial(id),
  );
  for (const regex of [
    '[^\\[\\]]*',
    '(?: ?[^\\s\\[]+)*',
    '.{0,70}',
    '(?:[a-z]+ ?|[^a-z\\n]é)*',
    '[^]{3,50}x',
  ]) {
    const dfa = new Dfa(buildNfa(parseRegex(regex)));
    const walk = constraints.of({ regex: `x${regex}` }).walk();
    walk.take(vocabulary.tokenizer.id('x') ?? -1);
    let state = 0;
    for (let i = 0; i < 25; i++) {
      const mask = walk.allowed();
      const behind = (id: number): number =>
        [...(spelling.bytes(id) ?? [])].reduce(
          (at, byte) => (at === DEAD ? DEAD : dfa.step(at, byte)),
          state,
        );
      const wrong = first.filter(
        (id) => (((mask[id >> 5] >>> (id & 31)) & 1) === 1) !== (behind(id) !== DEAD),
      );
      expect(
        wrong.map((id) => vocabulary.tokenizer.token(id)),
        `${regex}, token ${i}`,
      ).toEqual([]);
      const fitting = first.filter((id) => behind(id) !== DEAD);
      if (fitting.length === 0) break;
      const id = fitting[Math.floor(next() * fitting.length)];
      state = behind(id);
      walk.take(id);
    }
  }
});

test('an answer may begin with a space and any of its words', () => {
  const [{ tokenizer, size, eos }] = vocabularies;
  const mask = new Constraints(tokenizer, size, [eos]).of({ regex: '[^\\[\\]]*' }).walk().allowed();
  for (const token of ['Ġa', 'Ġthe', 'Ġthere', 'The', 'What']) {
    const id = tokenizer.id(token) ?? -1;
    expect((mask[id >> 5] >>> (id & 31)) & 1, token).toBe(1);
  }
});
