import type { KernelName } from '../shader.ts';
import type { Builder } from './builder.ts';

export interface Case {
  /** What it is for; its program needs others as well. */
  readonly kernel: KernelName;
  /** One of the few that are run at load. */
  readonly atLoad?: boolean;
  /** Recorded into a program that runs before, at position 0: keys and values to attend to. */
  before?(b: Builder): void;
  /** Runs at {@link POSITION} if something runs before it, else at position 0. */
  build(b: Builder): void;
}

/** Where what has something before it starts. */
export const POSITION = 69;
