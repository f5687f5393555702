/**
 * Answers of devices that round otherwise. Greedily they part only where two tokens are as good as equally likely: the model by
 * WASM, made to give each of the two texts, says how likely their first different tokens are to it.
 */
import { load, type AnswerToken, type Model } from '@llava-sp/node';
import type { AskInput } from './ask_all.ts';

/** How many times as likely one of two tokens may be as the other, where rounding may decide between them. */
export const NEAR_TIE = 1.1;
/**
 * The build of the WASM kernels that answers are compared in: the plain one does not fuse products with sums, and which is taken
 * is otherwise measured at load.
 */
export const KERNELS = 'relaxed';

type Question = AskInput['questions'][number];

/** Two answers to one question that are not the same. */
export interface Parting {
  /** For people. */
  readonly words: string;
  /** Of the likelier token to the other one. What ends where the other goes on has no token: then it is infinite. */
  readonly ratio: number;
}

/** Of answers to the same questions, those that differ. @param folder of the model; pictures are paths. */
export async function partingsOf(
  folder: string,
  questions: readonly Question[],
  expected: readonly string[],
  texts: readonly string[],
): Promise<Parting[]> {
  const differing = questions.flatMap((question, i) =>
    texts[i] === expected[i] ? [] : [{ question, pair: [expected[i], texts[i]] }],
  );
  if (differing.length === 0) return [];
  const model = await load(folder, { device: 'wasm', kernels: KERNELS });
  try {
    const partings: Parting[] = [];
    for (const { question, pair } of differing) {
      const ratio = await ratioOf(model, question, pair);
      partings.push({ words: `${question.prompt} ${pair.join(' | ')} (${ratio.toFixed(3)})`, ratio });
    }
    return partings;
  } finally {
    await model.dispose();
  }
}

async function ratioOf(model: Model, question: Question, pair: readonly string[]): Promise<number> {
  const [a, b] = [await tokensOf(model, question, pair[0]), await tokensOf(model, question, pair[1])];
  const at = a.findIndex(({ text }, i) => i >= b.length || text !== b[i].text);
  if (at < 0 || at >= b.length) return Infinity;
  const [p, q] = [a[at].probability, b[at].probability];
  return Math.max(p, q) / Math.min(p, q);
}

/** Of a text that the model must give, with the probabilities by the model alone. */
async function tokensOf(
  model: Model,
  { image, prompt }: Question,
  text: string,
): Promise<readonly AnswerToken[]> {
  const answer = model.ask(image, prompt, { format: { choices: [text] }, probabilities: true });
  await answer.text();
  return answer.tokens;
}
