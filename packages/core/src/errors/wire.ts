/** Errors on their way from one thread to another: family, code, message and fix stay, causes as text. */
import {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
  type ErrorCode,
} from './index.ts';

type Family = 'argument' | 'unsupported' | 'load' | 'device' | 'aborted';

/** An error that can be cloned. */
export interface WireError {
  /** `null`: not one of the SDK. */
  readonly family: Family | null;
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly fix: string;
  readonly cause: WireError | null;
}

/** Causes of causes that are told. */
const DEEPEST = 4;

export function packError(error: unknown, depth = 0): WireError {
  const cause = error instanceof Error ? error.cause : undefined;
  const known = error instanceof LlavaSpError ? error : null;
  return {
    // Not by name: a bundler may have changed it.
    family: known ? familyOf(known) : null,
    code: known?.code ?? null,
    message: error instanceof Error ? error.message : String(error),
    fix: known?.fix ?? '',
    cause: cause === undefined || depth === DEEPEST ? null : packError(cause, depth + 1),
  };
}

export function unpackError(wire: WireError): Error {
  const { family, code, message, fix } = wire;
  const cause = wire.cause ? unpackError(wire.cause) : undefined;
  if (family === null || code === null) {
    return new Error(message, cause === undefined ? undefined : { cause });
  }
  const details = { code, message, fix, cause };
  switch (family) {
    case 'argument':
      return new ArgumentError(details);
    case 'unsupported':
      return new UnsupportedError(details);
    case 'load':
      return new LoadError(details);
    case 'device':
      return new DeviceError(details);
    case 'aborted':
      return new AbortedError(cause);
    default:
      return family satisfies never;
  }
}

function familyOf(error: LlavaSpError): Family {
  if (error instanceof AbortedError) return 'aborted';
  if (error instanceof ArgumentError) return 'argument';
  if (error instanceof UnsupportedError) return 'unsupported';
  if (error instanceof LoadError) return 'load';
  return 'device';
}
