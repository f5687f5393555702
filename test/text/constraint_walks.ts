/** Random answers under a constraint: what any model, however bad, could write. */
import { Constraints, type Format } from '../../packages/core/src/text/constraint/index.ts';
import type { Tokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { byteLevelFiles, llamaFiles, tokenizerOf } from './tokenizers.ts';

/** Tokenizers of every kind of decoder, with how many tokens they have and what ends an answer. */
export const vocabularies: readonly { kind: string; tokenizer: Tokenizer; size: number; eos: number }[] = [
  { kind: 'byte level', files: byteLevelFiles(), eos: '</s>' },
  { kind: 'byte fallback', files: llamaFiles('legacy'), eos: '</s>' },
  // Without bytes: not every text can be spelt.
  { kind: 'metaspace', files: llamaFiles('metaspace'), eos: '</s>' },
  { kind: 'no decoder', files: withoutDecoder(), eos: '</s>' },
].map(({ kind, files, eos }) => {
  const tokenizer = tokenizerOf(files);
  const size = Object.keys((files.json.model as { vocab: object }).vocab).length;
  return { kind, tokenizer, size, eos: tokenizer.id(eos) ?? -1 };
});

function withoutDecoder(): ReturnType<typeof llamaFiles> {
  const { json, config } = llamaFiles('legacy');
  return { json: { ...json, decoder: null }, config };
}

export function constraintsOf({ tokenizer, size, eos }: (typeof vocabularies)[number]): Constraints {
  return new Constraints(tokenizer, size, [eos]);
}

/** Milliseconds that this process has computed: those of others do not count. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export interface Walked {
  /** As an answer shows it. */
  readonly text: string;
  /** Whether it came to its end within the tokens. */
  readonly whole: boolean;
  readonly ids: readonly number[];
}

/** A random answer; `endings`: how often an end that is allowed is taken. */
export function randomAnswer(
  constraints: Constraints,
  { tokenizer, size, eos }: (typeof vocabularies)[number],
  format: Format,
  next: () => number,
  { most = 200, endings = 0.2 } = {},
): Walked {
  const constraint = constraints.of(format);
  const walk = constraint.walk();
  const ids: number[] = [];
  let whole = false;
  while (ids.length < most) {
    const mask = walk.allowed();
    const allowed = Array.from({ length: size }, (_, id) => id).filter(
      (id) => ((mask[id >> 5] >>> (id & 31)) & 1) === 1,
    );
    if (allowed.length === 0) throw new Error(`a dead end behind ${JSON.stringify(tokenizer.decode(ids))}`);
    const end = allowed.includes(eos);
    whole = (end && (walk.ended || next() < endings)) || (walk.ended && allowed.length === 1);
    if (whole) break;
    const others = allowed.filter((id) => id !== eos);
    if (others.length === 0) throw new Error('nothing but the end, and it does not end');
    const id = others[Math.floor(next() * others.length)];
    walk.take(id);
    ids.push(id);
  }
  const text = tokenizer.decode(ids);
  return { text: constraint.keepsSpace ? text : text.trimStart(), whole, ids };
}
