/** The body of POST /v1/chat/completions, as OpenAI documents it, checked. */
import type { AskOptions } from '@llava-sp/node';
import { isGiven, isObject, parseMessages, type Conversation } from './conversation.ts';
import { invalid, unsupported } from './errors.ts';
import { formatOf } from './format.ts';

export interface CompletionRequest extends Conversation {
  readonly model: string;
  readonly stream: boolean;
  /** Whether a stream ends with a chunk that holds the usage. */
  readonly includeUsage: boolean;
  readonly options: AskOptions;
}

/**
 * Fields that change what comes back, and when leaving them out means the same. Whatever is not named here or below is
 * ignored, as OpenAI does.
 */
const REFUSED: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: () => false,
  functions: () => false,
  tool_choice: (value) => value === 'none' || value === 'auto',
  function_call: (value) => value === 'none' || value === 'auto',
  n: (value) => value === 1,
  top_logprobs: (value) => value === 0,
  logit_bias: (value) => isObject(value) && Object.keys(value).length === 0,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  audio: () => false,
  modalities: (value) => Array.isArray(value) && value.every((one) => one === 'text'),
  web_search_options: () => false,
};

/** @throws {ApiError} 400 naming the field. */
export function parseRequest(body: unknown): CompletionRequest {
  if (!isObject(body)) throw invalid('', 'The body must be a JSON object.');
  for (const [name, isDefault] of Object.entries(REFUSED)) {
    if (isGiven(body[name]) && !isDefault(body[name])) {
      throw unsupported(name, `${name} is not supported by this server with this value. Leave it out.`);
    }
  }
  const { model, stream_options: streamOptions } = body;
  if (typeof model !== 'string')
    throw invalid('model', 'model must be a string; /v1/models lists what there is.');
  const stream = flag(body.stream, 'stream');
  if (isGiven(streamOptions) && !(stream && isObject(streamOptions))) {
    throw invalid('stream_options', 'stream_options must be an object, and stream true.');
  }
  const includeUsage =
    isObject(streamOptions) && flag(streamOptions.include_usage, 'stream_options.include_usage');
  const options: AskOptions = {
    maxTokens: maxTokensOf(body),
    temperature: number(body, 'temperature', 0, 2),
    topP: number(body, 'top_p', 0, 1) || undefined,
    seed: integer(body, 'seed', 0),
    stop: stopsOf(body.stop),
    format: formatOf(body.response_format),
    probabilities: flag(body.logprobs, 'logprobs'),
  };
  return { model, stream, includeUsage, options, ...parseMessages(body.messages) };
}

function flag(value: unknown, name: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw invalid(name, `${name} must be true or false.`);
  return value;
}

type Body = Readonly<Record<string, unknown>>;

function number(body: Body, name: string, least: number, most: number): number | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    throw invalid(name, `${name} must be a number of ${least} to ${most}.`);
  }
  return value;
}

function integer(body: Body, name: string, least: number): number | undefined {
  const value = number(body, name, least, Number.MAX_SAFE_INTEGER);
  if (value !== undefined && !Number.isInteger(value)) throw invalid(name, `${name} must be a whole number.`);
  return value;
}

function maxTokensOf(body: Body): number | undefined {
  const newer = integer(body, 'max_completion_tokens', 1);
  const older = integer(body, 'max_tokens', 1);
  if (newer !== undefined && older !== undefined && newer !== older) {
    throw invalid('max_tokens', 'max_tokens and max_completion_tokens differ. Leave max_tokens out.');
  }
  return newer ?? older;
}

function stopsOf(stop: unknown): string[] {
  if (stop === undefined || stop === null) return [];
  const stops: unknown[] = Array.isArray(stop) ? stop : [stop];
  if (stops.length > 4 || !stops.every((one) => typeof one === 'string')) {
    throw invalid('stop', 'stop must be a string, or a list of at most four.');
  }
  return stops;
}
