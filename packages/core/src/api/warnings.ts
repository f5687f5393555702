import type { Warning } from '../backend/index.ts';

/** A model's warnings, as they come and to be read later. */
export class Warnings {
  #all: readonly Warning[] = [];
  readonly #listener: ((warning: Warning) => void) | undefined;

  constructor(listener: ((warning: Warning) => void) | undefined) {
    this.#listener = listener;
  }

  get all(): readonly Warning[] {
    return this.#all;
  }

  add(warning: Warning): void {
    this.#all = [...this.#all, warning];
    // A listener that fails must not fail the work it hears of, not even one that fails later.
    void new Promise<void>((resolve) => resolve(this.#listener?.(warning))).catch(() => undefined);
  }

  /** Not again what was said before: a device that is started anew is often refused for the same reason. */
  addOnce(warning: Warning): void {
    const { code, message } = warning;
    if (!this.#all.some((known) => known.code === code && known.message === message)) this.add(warning);
  }
}
