/** A model's answers to a list of questions, in any runtime. */
import type { LoadOptions, Model } from '../../packages/core/src/index.ts';

/** Travels as JSON. */
export interface AskInput {
  /** Folder of the model: a path in Deno, an address in a page. */
  model: string;
  options: Pick<LoadOptions, 'device' | 'kernels' | 'precision' | 'threads' | 'context'>;
  questions: { image: string; prompt: string }[];
}

export interface Asked {
  texts: string[];
  backend: Model['info']['backend'];
  choices: Model['info']['choices'];
  warnings: Model['info']['warnings'];
  /** Of the load and of all answers together. */
  loadMs: number;
  askMs: number;
}

/** Questions on one picture that follow each other share its encoding. */
export async function askAll(
  load: (source: string, options: LoadOptions) => Promise<Pick<Model, 'ask' | 'info' | 'dispose'>>,
  { model: source, options, questions }: AskInput,
): Promise<Asked> {
  const begin = performance.now();
  const model = await load(source, options);
  try {
    const start = performance.now();
    const texts: string[] = [];
    for (const { image, prompt } of questions) texts.push(await model.ask(image, prompt).text());
    const { backend, choices, warnings } = model.info;
    return { texts, backend, choices, warnings, loadMs: start - begin, askMs: performance.now() - start };
  } finally {
    await model.dispose();
  }
}
