import { ArgumentError } from '../errors/index.ts';
import type { Geometry } from '../image/boxes.ts';
import type { Prompt } from '../pipeline/prompt.ts';
import type { Answer } from './answer.ts';
import type { Looked, SceneId } from './engine.ts';
import type { Explanation } from './explain.ts';
import type { Model } from './model.ts';
import type { AskOptions } from './options.ts';
import type { CaptionOptions, PixelBox } from './tasks/check.ts';
import type { Grounding, GroundOptions } from './tasks/grounding.ts';

/** A picture that the model has looked at. Made by `model.look`. */
export class Scene {
  /** Of the source picture, in pixels, upright. */
  readonly width: number;
  /** Of the source picture, in pixels, upright. */
  readonly height: number;
  /** How the source became the model's input: what boxes in answers are mapped back by. */
  readonly geometry: Geometry;
  /** Milliseconds that looking took. */
  readonly timings: Looked['timings'];
  /** Where the model looks on this picture. */
  readonly explanation: Explanation;
  readonly #model: Model;
  readonly #id: SceneId;
  #release: (() => void) | null;

  /** Not for applications: they get scenes from `model.look`. */
  constructor(model: Model, looked: Looked, release: () => void) {
    this.#model = model;
    this.#id = looked.id;
    this.#release = release;
    this.width = looked.width;
    this.height = looked.height;
    this.geometry = looked.geometry;
    this.timings = looked.timings;
    this.explanation = looked.explanation;
  }

  /** A question on this picture; the same as `model.ask(scene, prompt, options)`. */
  ask(prompt: Prompt, options: AskOptions = {}): Answer {
    return this.#model.ask(this, prompt, options);
  }

  /** Finds phrases in this picture; the same as `model.ground(scene, phrases, options)`. */
  ground(phrases: string | readonly string[], options: GroundOptions = {}): Grounding {
    return this.#model.ground(this, phrases, options);
  }

  /** Says what is in this picture; the same as `model.caption(scene, options)`. */
  caption(options: CaptionOptions = {}): Answer {
    return this.#model.caption(this, options);
  }

  /** Says what is in a part of this picture; the same as `model.describe(scene, box, options)`. */
  describe(box: PixelBox, options: AskOptions = {}): Answer {
    return this.#model.describe(this, box, options);
  }

  /** Frees what is kept of the picture. */
  dispose(): void {
    this.#release?.();
    this.#release = null;
  }

  /** `using`: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal What the model's engine calls this picture. @throws {ArgumentError} `IMAGE_INVALID`. */
  idFor(model: Model): SceneId {
    if (model === this.#model) return this.#id;
    throw new ArgumentError({
      code: 'IMAGE_INVALID',
      message: 'The scene belongs to another model.',
      fix: 'Look at the picture again with this model.',
    });
  }
}
