/** A value that says when it changes: all the state of the page is a handful of these. */
export interface Signal<T> {
  readonly value: T;
  set(next: T): void;
  /** Called now, and after every change. */
  watch(listener: (value: T) => void): void;
}

export function signal<T>(value: T): Signal<T> {
  const listeners: ((value: T) => void)[] = [];
  return {
    get value() {
      return value;
    },
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of listeners) listener(next);
    },
    watch(listener) {
      listeners.push(listener);
      listener(value);
    },
  };
}
