import type { Answer, AskOptions, Model } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { interruptSignal, loadFor } from './model.ts';
import { EXIT, numberOption, UsageError } from './usage.ts';

/** `llava-sp ask IMAGE QUESTION`. */
export async function ask(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length !== 2)
    throw new UsageError(`ask wants an image and a question (in quotes), not ${args.length} words`);
  const [image, question] = args;
  const signal = interruptSignal();
  const options: AskOptions = {
    maxTokens: numberOption('max-tokens', flags['max-tokens']),
    temperature: numberOption('temperature', flags.temperature),
    seed: numberOption('seed', flags.seed),
    signal,
  };
  const model = await loadFor(flags, signal);
  try {
    const answer = model.ask(image, question, options);
    if (flags.json) {
      const text = await answer.text();
      console.log(JSON.stringify({ answer: text, ...facts(answer), info: shortInfo(model) }));
    } else {
      for await (const piece of answer) process.stdout.write(piece);
      process.stdout.write('\n');
    }
    if (flags.stats) printStats(model, answer);
  } finally {
    await model.dispose();
  }
  return EXIT.ok;
}

function facts({ usage, timings, finishReason }: Answer) {
  return { usage, timings, finishReason };
}

function shortInfo({ info }: Model) {
  return {
    model: info.name,
    backend: info.backend.name,
    threads: info.backend.threads,
    choices: info.choices,
    warnings: info.warnings,
  };
}

function printStats({ info }: Model, { usage, timings, finishReason }: Answer): void {
  const ms = (value: number): string => `${value.toFixed(0)} ms`;
  console.error(`
model     ${info.name} on ${placeOf(info)}, loaded in ${ms(info.loadTime)}
tokens    ${usage.promptTokens} in (${usage.imageTokens} of the image), ${usage.completionTokens} out, ended by ${finishReason}
image     ${ms(timings.image)}
vision    ${ms(timings.vision)}
prefill   ${ms(timings.prefill)}
decode    ${ms(timings.decode)}, ${timings.tokensPerSecond.toFixed(1)} tokens/s
total     ${ms(timings.total)}`);
  for (const { message } of info.warnings) console.error(`warning   ${message}`);
}

/** As `wasm, 2 threads`; a GPU has none to speak of. */
function placeOf({ backend: { name, threads } }: Model['info']): string {
  return threads > 0 ? `${name}, ${threads} threads` : name;
}
