import { describe, expect, test } from 'vitest';
import { createStopMatcher } from '../../packages/core/src/text/stop.ts';
import { random } from './tokenizers.ts';

function run(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const matcher = createStopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    if (step.stopped) return { text, stopped: true };
  }
  return { text: text + matcher.flush(), stopped: false };
}

/** The plain reading: grow the text one character at a time; the first stop string that ends it wins, the longest of several. */
function reference(stops: string[], text: string): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const ended = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (ended.length > 0) {
      const longest = Math.max(...ended.map((stop) => stop.length));
      return { text: text.slice(0, end - longest), stopped: true };
    }
  }
  return { text, stopped: false };
}

describe('createStopMatcher', () => {
  test('a stop string over three tokens is cut, and nothing of it is ever shown', () => {
    const matcher = createStopMatcher(['</s>']);
    expect(matcher.push('yes<')).toEqual({ text: 'yes', stopped: false });
    expect(matcher.push('/')).toEqual({ text: '', stopped: false });
    expect(matcher.push('s>more')).toEqual({ text: '', stopped: true });
    expect(matcher.push('even more')).toEqual({ text: '', stopped: true });
    expect(matcher.flush()).toBe('');
  });

  test('what only looked like a stop string is shown as soon as that is clear', () => {
    const matcher = createStopMatcher(['</s>', 'STOP']);
    expect(matcher.push('a <').text).toBe('a ');
    expect(matcher.push('/b').text).toBe('</b');
    expect(matcher.push(' STO').text).toBe(' ');
    expect(matcher.flush()).toBe('STO');
  });

  const seed = 42;
  test(`random texts and cuts: the same as the plain reading (seed ${seed})`, () => {
    const next = random(seed);
    const pick = (length: number): string =>
      Array.from({ length }, () => 'aab'[Math.floor(next() * 3)] ?? 'a').join('');
    let stoppedRuns = 0;
    for (let round = 0; round < 20_000; round++) {
      const stops = Array.from({ length: Math.floor(next() * 4) }, () => pick(1 + Math.floor(next() * 5)));
      const text = pick(Math.floor(next() * 16));
      const pieces: string[] = [];
      for (let at = 0; at < text.length;) {
        const length = 1 + Math.floor(next() * 4);
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      const wanted = reference(stops, text);
      if (wanted.stopped) stoppedRuns++;
      const found = run(stops, pieces);
      // A comparison by hand: twenty thousand calls of expect would take longer than all the rest.
      if (found.text === wanted.text && found.stopped === wanted.stopped) continue;
      expect(found, `stops ${stops.join('|')} text ${pieces.join('|')}`).toEqual(wanted);
    }
    // Both kinds of end were tried.
    expect(stoppedRuns).toBeGreaterThan(5000);
    expect(stoppedRuns).toBeLessThan(18_000);
  });

  test.each([[['']], [['a', '']], [['x'.repeat(257)]], [Array.from({ length: 17 }, (_, i) => `${i}`)]])(
    'refuses %j',
    (stops) => {
      expect(() => createStopMatcher(stops)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
    },
  );
});
