/** POST /v1/chat/completions: one answer, whole or as server-sent events. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Answer, Usage } from '@llava-sp/node';
import { ApiError, toApiError } from './errors.ts';
import type { CompletionRequest } from './request.ts';

/** Sends an answer. What fails before its first piece is thrown; later, a stream ends with the error as its last event. */
export async function sendAnswer(
  response: ServerResponse,
  { model, stream, includeUsage }: CompletionRequest,
  answer: Answer,
): Promise<void> {
  const head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
  if (stream) await sendStream(response, head, includeUsage, answer);
  else await sendWhole(response, head, answer);
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

async function sendWhole(response: ServerResponse, head: Head, answer: Answer): Promise<void> {
  const content = await answer.text();
  const message = { role: 'assistant', content, refusal: null };
  sendJson(response, 200, {
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message, logprobs: logprobsOf(answer), finish_reason: reasonOf(answer) }],
    usage: usageOf(answer.usage),
  });
}

async function sendStream(
  response: ServerResponse,
  head: Head,
  includeUsage: boolean,
  answer: Answer,
): Promise<void> {
  const usage = includeUsage ? { usage: null } : {};
  let told = 0;
  const send = (delta: object, reason: string | null): void => {
    if (!response.headersSent) {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      send({ role: 'assistant', content: '' }, null);
    }
    const logprobs = 'role' in delta ? null : logprobsOf(answer, told);
    told += logprobs?.content.length ?? 0;
    const choices = [{ index: 0, delta, logprobs, finish_reason: reason }];
    event(response, { ...head, object: 'chat.completion.chunk', choices, ...usage });
  };
  try {
    for await (const content of answer) send({ content }, null);
  } catch (error) {
    // Until then nothing was sent: the error has a status of its own.
    if (!response.headersSent) throw error;
    event(response, toApiError(error).body);
    response.end();
    throw error;
  }
  send({}, reasonOf(answer));
  if (includeUsage) {
    event(response, { ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf(answer.usage) });
  }
  response.end('data: [DONE]\n\n');
}

function event(response: ServerResponse, data: object): void {
  response.write(`data: ${JSON.stringify(data)}\n\n`);
}

function reasonOf({ finishReason }: Answer): 'stop' | 'length' {
  if (finishReason === 'cancelled') throw new ApiError(503, 'cancelled', 'The answer was cancelled.');
  return finishReason === 'length' ? 'length' : 'stop';
}

/** Of no probability at all, as OpenAI writes it: JSON has no infinity. */
const NEVER = -9999;

/** Of the tokens from `from` on; `null` where none are to be told. */
function logprobsOf({ tokens }: Answer, from = 0) {
  if (tokens.length <= from) return null;
  const content = tokens.slice(from).map(({ text, probability }) => ({
    token: text,
    logprob: probability > 0 ? Math.log(probability) : NEVER,
    bytes: [...Buffer.from(text)],
    top_logprobs: [],
  }));
  return { content, refusal: null };
}

function usageOf({ promptTokens, completionTokens, cachedTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  // What a HEAD asks for, without the body: Node leaves it out.
  response.end(text);
}
