import { ArgumentError } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenRange } from '../models/visual.ts';
import { BEHIND_PICTURE } from '../pipeline/load_weights.ts';

/** What the KV cache is made for when the caller does not say: longer contexts cost memory that few answers need. */
const DEFAULT_CONTEXT = 4096;

/** The configuration with the context that the caller asked for. */
export function withContext(config: ModelConfig, context: number | undefined): ModelConfig {
  const { text } = config;
  if (context !== undefined && !(Number.isInteger(context) && context >= 1 && context <= text.context)) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `context is ${context}; it must be a whole number of tokens, at most the model's ${text.context}.`,
      fix: 'Leave context out for the default.',
    });
  }
  // Pictures of many tiles alone may take more.
  const wanted = Math.max(DEFAULT_CONTEXT, visualTokenRange(config).most + BEHIND_PICTURE);
  return { ...config, text: { ...text, context: context ?? Math.min(text.context, wanted) } };
}
