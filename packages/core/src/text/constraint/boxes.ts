import type { Tokenizer } from '../tokenizer.ts';
import { choice, formatError, repeat, type Node } from './ast.ts';
import { parseRegex } from './regex.ts';

const list = (number: string): string => String.raw`\[${Array(4).fill(number).join(', ?')}\]`;
const unit = list(String.raw`(?:0(?:\.\d{1,3})?|1(?:\.0{1,3})?)`);
const one = list(String.raw`(?:0|[1-9]\d{0,2}|1000)`);
const thousandths = String.raw`\[${one}(?:, ?${one})*\]`;
/** InternVL's tags. Its tokenizers count them as special, so that they write nothing. */
const tags = ['<ref>', '</ref>', '<box>', '</box>'];

/** Words of any kind, and boxes as the model's family writes them: every bracket is one's. */
export function boxesAmongWords(kind: 'unit' | 'thousandths', tokenizer: Tokenizer): Node {
  if (kind !== 'unit' && kind !== 'thousandths')
    throw formatError(`boxes is ${JSON.stringify(kind)}, neither "unit" nor "thousandths"`);
  const parts: Node[] = [parseRegex(String.raw`[^\[\]]`), parseRegex(kind === 'unit' ? unit : thousandths)];
  if (kind === 'thousandths') {
    const ids = tags.map((tag) => tokenizer.id(tag));
    for (const id of ids) if (id !== undefined && tokenizer.isSpecial(id)) parts.push({ type: 'token', id });
  }
  return repeat(choice(parts), 0, Infinity);
}
