import {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
} from '@llava-sp/node';

export type ErrorType =
  'invalid_request_error' | 'authentication_error' | 'permission_error' | 'rate_limit_error' | 'server_error';

/** An error as OpenAI's clients know it: a status, and `{ error: { message, type, param, code } }`. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: ErrorType;
  readonly code: string | null;
  /** The field of the request that is wrong. */
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string | null,
    message: string,
    {
      param = null,
      headers = {},
      cause,
    }: { param?: string | null; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.status = status;
    this.type = typeOf(status);
    this.code = code;
    this.param = param;
    this.headers = headers;
  }

  get body(): object {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

function typeOf(status: number): ErrorType {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** A field that is wrong. */
export function invalid(param: string, message: string, code = 'invalid_value'): ApiError {
  return new ApiError(400, code, message, { param });
}

/** A field that would change what the answer means, and that nothing here knows. */
export function unsupported(param: string, message: string): ApiError {
  return invalid(param, message, 'unsupported_parameter');
}

/** What clients look for by this name when a conversation is too long. */
const TOO_LONG = new Set(['PROMPT_TOO_LONG', 'CONTEXT_FULL']);
/** Load errors that a request is to blame for. */
const OF_REQUEST = new Set(['IMAGE_DECODE_FAILED', 'FILE_UNREADABLE']);

/** What went wrong, in OpenAI's words. What is nobody's business outside (stacks, paths) stays inside. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  // The server's own reason for ending the work.
  if (error instanceof AbortedError && error.cause instanceof ApiError) return error.cause;
  if (!(error instanceof LlavaSpError)) {
    return new ApiError(500, 'internal_error', 'The server failed; its log says more.', { cause: error });
  }
  const code = TOO_LONG.has(error.code) ? 'context_length_exceeded' : error.code;
  return new ApiError(statusOf(error), code, `${error.message} ${error.fix}`, {
    param: paramOf(error.code),
    cause: error,
  });
}

function paramOf(code: string): string | null {
  if (code === 'FORMAT_INVALID') return 'response_format';
  return code.startsWith('IMAGE_') || TOO_LONG.has(code) ? 'messages' : null;
}

function statusOf(error: LlavaSpError): number {
  if (error instanceof ArgumentError || error instanceof UnsupportedError) return 400;
  if (error instanceof LoadError) return OF_REQUEST.has(error.code) ? 400 : 500;
  if (error instanceof AbortedError) return 503;
  if (error instanceof DeviceError) return error.code === 'OUT_OF_MEMORY' ? 503 : 500;
  return 500;
}
