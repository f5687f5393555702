import { LoadError } from '@llava-sp/core';

/** A published file that is damaged, or not of the form its name says. */
export function checkpointInvalid(file: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'CHECKPOINT_INVALID',
    message: `${file} can't be read: ${what}.`,
    fix: 'Download the file again, or save it anew with safetensors.',
    cause,
  });
}

/** A pickle that asks for more than tensors. */
export function checkpointUnsafe(file: string, what: string): LoadError {
  return new LoadError({
    code: 'CHECKPOINT_UNSAFE',
    message: `${file} is refused: ${what}. Only what rebuilds tensors is allowed.`,
    fix: 'Do not open this file with other tools unless you trust its author; ask for safetensors files.',
  });
}
