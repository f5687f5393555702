import { choice, empty, formatError, repeat, sequence, type Node } from './ast.ts';
import { Effort } from './effort.ts';
import { LAST, negate, union, type Ranges } from './ranges.ts';

const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };
const MOST_REPEATS = 65_536;
const MOST_CHARACTERS = 20_000;
/** No name of a group or property is longer. */
const LONGEST_NAME = 100;

/**
 * Reads a regular expression of JavaScript with the `u` flag, which is to match the whole text: literals, `.`, classes, escapes
 * (`\d \w \s`, `\p{..}`, `\n`, `\u{..}`), groups, `|`, and `* + ? {m,n}`, lazy or not. `^` at the very beginning and `$` at the very
 * end say nothing new. Code points are counted, as JavaScript does with `u`.
 *
 * @throws {ArgumentError} `FORMAT_INVALID` saying what is wrong and where: lookaround, back references, boundaries, modifiers,
 *   and what JavaScript refuses.
 */
export function parseRegex(source: string): Node {
  return parse(source).node;
}

/**
 * The same, and whether `^` and `$` are written: a pattern of a JSON schema may match anywhere in a text.
 *
 * @param effort what may be spent, together with other parts of the format.
 */
export function parse(
  source: string,
  effort = new Effort(),
): { node: Node; fromStart: boolean; toEnd: boolean } {
  if (typeof source !== 'string')
    throw formatError(`the regular expression is ${typeof source}, not a string`);
  if (source.length > MOST_CHARACTERS)
    throw formatError(`the regular expression has more than ${MOST_CHARACTERS} characters`);
  effort.spend(source.length);
  const chars = Array.from(source);
  const fromStart = chars[0] === '^';
  let slashes = 0;
  while (chars.at(-2 - slashes) === '\\') slashes++;
  const toEnd = chars.at(-1) === '$' && slashes % 2 === 0;
  const end = chars.length - (toEnd ? 1 : 0);
  let at = fromStart ? 1 : 0;
  let depth = 0;

  const fail = (what: string, where = at): never => {
    throw formatError(`${what} at character ${where + 1} of the regular expression ${shown(source)}`);
  };
  const eat = (char: string): boolean => {
    if (at >= end || chars[at] !== char) return false;
    at++;
    return true;
  };
  /** As much of what follows as a name may take: all of it for each name would take a square of the time. */
  const slice = (from: number): string => chars.slice(from, from + LONGEST_NAME).join('');
  const expect = (char: string, what: string): void => {
    if (!eat(char)) fail(what);
  };

  const alternatives = (): Node => {
    const options = [concatenation()];
    while (eat('|')) options.push(concatenation());
    return choice(options);
  };
  const concatenation = (): Node => {
    const parts: Node[] = [];
    while (at < end && chars[at] !== '|' && chars[at] !== ')') parts.push(quantified());
    return parts.length === 0 ? empty : sequence(...parts);
  };
  const quantified = (): Node => {
    const node = atom();
    const from = at;
    let [min, max] = [1, 1];
    if (eat('*')) [min, max] = [0, Infinity];
    else if (eat('+')) max = Infinity;
    else if (eat('?')) min = 0;
    else if (eat('{')) {
      min = number() ?? fail('a number is missing');
      max = eat(',') ? (number() ?? Infinity) : min;
      expect('}', 'a "}" is missing');
      if (max < min) fail('the numbers of {m,n} are out of order', from);
      if (Math.max(min, Number.isFinite(max) ? max : 0) > MOST_REPEATS) fail('too many repetitions', from);
    } else return node;
    // Lazy or greedy: the same texts.
    eat('?');
    return repeat(node, min, max);
  };
  const number = (): number | undefined => {
    let digits = '';
    while (at < end && /^[0-9]$/.test(chars[at])) digits += chars[at++];
    return digits === '' ? undefined : Number(digits);
  };
  const atom = (): Node => {
    const from = at;
    const char = chars[at++];
    switch (char) {
      case '(':
        return group();
      case '[':
        return { type: 'class', ranges: bracket() };
      case '.':
        return { type: 'class', ranges: effort.classOf('.') };
      case '\\':
        return { type: 'class', ranges: escape(false) };
      case '^':
      case '$':
        return fail(`"${char}" is not supported here: the whole text is matched anyhow`, from);
      case '*':
      case '+':
      case '?':
      case '{':
        return fail(`nothing to repeat before "${char}"`, from);
      case '}':
      case ']':
        return fail(`"${char}" has to be written "\\${char}"`, from);
      default:
        return { type: 'class', ranges: single(char, from) };
    }
  };
  const group = (): Node => {
    const from = at - 1;
    if (eat('?') && !eat(':')) {
      const name = /^\?<([\p{L}_$][\p{L}\p{N}_$]*)>/u.exec(slice(at - 1));
      if (!name) return fail('lookaround and modifiers are not supported', from);
      at += Array.from(name[0]).length - 1;
    }
    if (++depth > 250) fail('too many groups inside one another', from);
    const node = alternatives();
    depth--;
    expect(')', 'a ")" is missing');
    return node;
  };
  const bracket = (): Ranges => {
    const from = at - 1;
    const negated = eat('^');
    const sets: Ranges[] = [];
    while (!eat(']')) {
      if (at >= end) fail('a "]" is missing', from);
      const low = member();
      // A dash at the end of a class is one.
      if (chars[at] !== '-' || chars[at + 1] === ']') {
        sets.push(low);
        continue;
      }
      const dash = at++;
      if (at >= end) fail('a "]" is missing', from);
      const high = member();
      if (low.length !== 2 || low[0] !== low[1] || high.length !== 2 || high[0] !== high[1])
        fail('a range from or to more than one character', dash);
      if (low[0] > high[0]) fail('the range is out of order', dash);
      sets.push([low[0], high[0]]);
    }
    const all = union(...sets);
    return negated ? negate(all) : all;
  };
  const member = (): Ranges => {
    if (eat('\\')) return escape(true);
    const from = at;
    return single(chars[at++], from);
  };
  const single = (char: string, where: number): Ranges => {
    const code = char.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) fail('half a character', where);
    return [code, code];
  };
  const escape = (inClass: boolean): Ranges => {
    const from = at - 1;
    if (at >= end) fail('nothing after "\\"', from);
    const char = chars[at++];
    if (/^[dDwWsS]$/.test(char)) return effort.classOf(`\\${char}`);
    if (char === 'p' || char === 'P') {
      const name = /^\{[\w=]+\}/.exec(slice(at))?.[0] ?? '';
      at += name.length;
      try {
        return effort.classOf(`\\${char}${name}`);
      } catch (error) {
        if (error instanceof SyntaxError) return fail('an unknown property', from);
        throw error;
      }
    }
    if (char in controls) {
      if (char === '0' && /^[0-9]$/.test(chars[at] ?? '')) fail('an octal escape', from);
      return [controls[char], controls[char]];
    }
    if (inClass && char === 'b') return [8, 8];
    if (inClass && char === '-') return [45, 45];
    if (/^[\^$\\.*+?()[\]{}|/]$/.test(char)) return single(char, from);
    const rest = slice(at);
    const control = char === 'c' ? /^[A-Za-z]/.exec(rest) : null;
    const hex = char === 'x' ? /^([0-9a-fA-F]{2})/.exec(rest) : null;
    const pair =
      char === 'u' ? /^([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(rest) : null;
    const unicode = char === 'u' ? /^(?:([0-9a-fA-F]{4})|\{0*([0-9a-fA-F]{1,6})\})/.exec(rest) : null;
    const match = control ?? hex ?? pair ?? unicode;
    if (!match) return fail(`"\\${char}" is not supported`, from);
    at += match[0].length;
    if (control) return [control[0].charCodeAt(0) % 32, control[0].charCodeAt(0) % 32];
    let code = parseInt(match[1] ?? match[2], 16);
    if (pair) code = 0x10000 + ((code & 0x3ff) << 10) + (parseInt(pair[2], 16) & 0x3ff);
    if (code > LAST) fail('no such character', from);
    // Half a surrogate pair is no text: it can't be matched.
    return code >= 0xd800 && code <= 0xdfff ? fail('half a character', from) : [code, code];
  };

  const node = alternatives();
  if (at < end) fail('a ")" too many');
  return { node, fromStart, toEnd };
}

function shown(source: string): string {
  return JSON.stringify(source.length > 80 ? `${source.slice(0, 80)}...` : source);
}
