import { LlavaSpError as Built } from '@llava-sp/core';
import { LlavaSpError } from '../../packages/core/src/errors/index.ts';

/** Whether it is an error of the SDK: of core's sources, or of core as the other packages import it. */
export function isSdkError(error: unknown): error is LlavaSpError {
  return error instanceof LlavaSpError || error instanceof Built;
}
