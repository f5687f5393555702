import type { Backend, Executable } from '../backend/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { placeProgram, prefixProgram, tokensProgram, visionProgram, visualProgram } from './programs.ts';

/** Prompts come in many lengths: so many recorded lists are kept. */
const MOST = 16;

/** The programs that are ready to run, by shape; those not used for longest are released. */
export class Executables {
  readonly #backend: Backend;
  readonly #config: ModelConfig;
  readonly #ready = new Map<string, Executable>();
  #vision: Executable | null = null;
  #decode: Executable | null = null;
  /** By tile; a command or two each. */
  readonly #places: Executable[] = [];

  constructor(backend: Backend, config: ModelConfig) {
    this.#backend = backend;
    this.#config = config;
  }

  async vision(): Promise<Executable> {
    return (this.#vision ??= await this.#backend.compile(visionProgram(this.#config)));
  }

  /** The tokens before the image, and the image. */
  prefix(before: number): Promise<Executable> {
    return this.#shaped(`prefix ${before}`, () => prefixProgram(this.#config, before));
  }

  /** One tile's visual tokens to their place among all tiles'. */
  async place(tile: number): Promise<Executable> {
    return (this.#places[tile] ??= await this.#backend.compile(placeProgram(this.#config, tile)));
  }

  /** The tokens before a picture of several tiles, and visual tokens of it. */
  visual(before: number, rows: number): Promise<Executable> {
    return this.#shaped(`visual ${before} ${rows}`, () => visualProgram(this.#config, before, rows));
  }

  async tokens(rows: number): Promise<Executable> {
    // The decode step runs for every token: it is never released.
    if (rows === 1) return (this.#decode ??= await this.#backend.compile(tokensProgram(this.#config, 1)));
    return this.#shaped(`tokens ${rows}`, () => tokensProgram(this.#config, rows));
  }

  async #shaped(key: string, record: () => Parameters<Backend['compile']>[0]): Promise<Executable> {
    const known = this.#ready.get(key);
    if (known) {
      this.#ready.delete(key);
      this.#ready.set(key, known);
      return known;
    }
    const executable = await this.#backend.compile(record());
    this.#ready.set(key, executable);
    if (this.#ready.size > MOST) {
      const [oldest, unused] = [...this.#ready][0];
      this.#ready.delete(oldest);
      unused.release();
    }
    return executable;
  }
}
