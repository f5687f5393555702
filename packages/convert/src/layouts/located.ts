import { LoadError } from '@llava-sp/core';
import type { PublishedTensor } from '../sources/tensors.ts';
import { isBuffer, translate, type Target, type Translation } from './names.ts';

/** Where an on-device tensor is published: one of the equal row ranges of a tensor. */
export interface Location {
  readonly tensor: PublishedTensor;
  readonly part: Target['part'];
}

/** The published tensors by what they are on the device. */
export class Located {
  readonly #locations = new Map<string, Location>();
  /** Published tensors that are none of the family's. */
  readonly #unknown = new Set<PublishedTensor>();
  /** On-device names of convolutions behind a pooling layer. */
  readonly pooled = new Set<string>();

  /**
   * Adds the tensors of a folder; what is there already stays, as a folder of higher precedence comes first.
   *
   * @param targetsOf how their names are read.
   */
  add(tensors: Iterable<PublishedTensor>, targetsOf: (name: string) => Translation | null = translate): void {
    const known = new Set(this.#locations.keys());
    for (const tensor of tensors) {
      if (isBuffer(tensor.name)) continue;
      const translation = targetsOf(tensor.name);
      if (!translation) {
        this.#unknown.add(tensor);
        continue;
      }
      for (const { name, part } of translation.targets) {
        if (known.has(name)) continue;
        const before = this.#locations.get(name);
        if (before) throw twice(before.tensor, tensor);
        this.#locations.set(name, { tensor, part });
        if (translation.pooling) this.pooled.add(name);
      }
    }
  }

  has(name: string): boolean {
    return this.#locations.has(name);
  }

  get(name: string): Location | undefined {
    return this.#locations.get(name);
  }

  names(): string[] {
    return [...this.#locations.keys()];
  }

  /** Whether any name starts so. */
  hasAny(prefix: string): boolean {
    return this.names().some((name) => name.startsWith(prefix));
  }

  /** Published names that none of `used` is made from, in order. */
  leftover(used: ReadonlySet<PublishedTensor>): string[] {
    const tensors = new Set([...this.#unknown, ...[...this.#locations.values()].map(({ tensor }) => tensor)]);
    return [...tensors]
      .filter((tensor) => !used.has(tensor))
      .map(({ name }) => name)
      .sort();
  }

  /** Published names that are none of the family's. */
  unknown(): string[] {
    return [...this.#unknown].map(({ name }) => name);
  }
}

function twice(a: PublishedTensor, b: PublishedTensor): LoadError {
  return new LoadError({
    code: 'CHECKPOINT_UNKNOWN',
    message: `"${a.name}" of ${a.file} and "${b.name}" of ${b.file} are the same tensor of the model.`,
    fix: 'Remove one of them: it is not clear which one counts.',
  });
}
