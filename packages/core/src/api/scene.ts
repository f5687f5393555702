import { ArgumentError } from '../errors/index.ts';
import type { Encoded } from '../pipeline/instance.ts';
import type { Answer } from './answer.ts';
import type { Model } from './model.ts';
import type { AskOptions } from './options.ts';

/** A picture that the model has looked at. Made by `model.look`. */
export class Scene {
  /** Of the source picture, in pixels, upright. */
  readonly width: number;
  readonly height: number;
  /** Milliseconds that looking took. */
  readonly timings: Encoded['timings'];
  readonly #model: Model;
  readonly #release: (encoded: Encoded) => void;
  #encoded: Encoded | null;

  /** Not for applications: they get scenes from `model.look`. */
  constructor(model: Model, encoded: Encoded, release: (encoded: Encoded) => void) {
    this.#model = model;
    this.#encoded = encoded;
    this.#release = release;
    this.width = encoded.width;
    this.height = encoded.height;
    this.timings = encoded.timings;
  }

  /** A question on this picture; the same as `model.ask(scene, prompt, options)`. */
  ask(prompt: string, options: AskOptions = {}): Answer {
    return this.#model.ask(this, prompt, options);
  }

  /** Frees what is kept of the picture. */
  dispose(): void {
    if (this.#encoded) this.#release(this.#encoded);
    this.#encoded = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal What the model keeps of the picture. */
  encodedFor(model: Model): Encoded {
    if (this.#encoded && model === this.#model) return this.#encoded;
    throw new ArgumentError({
      code: 'IMAGE_INVALID',
      message: this.#encoded ? 'The scene belongs to another model.' : 'The scene was disposed of.',
      fix: 'Look at the picture again with this model.',
    });
  }
}
