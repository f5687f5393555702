import { AbortedError, ArgumentError, untilAborted } from '../errors/index.ts';
import type { ChatMessage } from '../text/chat.ts';
import { Answer } from './answer.ts';
import type { AnswerListener, AnswerRequest, Answered } from './engine.ts';
import { checkCommon, without, type AskOptions } from './options.ts';
import type { Scene } from './scene.ts';

/** How a conversation is begun. */
export interface ChatOptions {
  /** What comes before the conversation, in the place of what the model's template says by itself. */
  system?: string;
  /** Ends looking at the picture; questions have signals of their own. */
  signal?: AbortSignal;
}

/** One turn of a conversation that was had. */
export interface ChatTurn {
  /** Who said it. */
  readonly role: 'user' | 'assistant';
  /** What was said; of an answer as far as it came. */
  readonly text: string;
}

/** What a chat needs of its model. */
export interface ChatParts {
  /** Begins to look at the picture, which `stopped` ends; or gives the scene that there is. */
  look(stopped: AbortSignal): Promise<Scene>;
  /** Whether the chat looks at the picture itself, and disposes of the scene. */
  readonly owned: boolean;
  readonly system: string | undefined;
  /** Asks on a scene; `prepare` makes the request once that may be done. */
  answer(
    prepare: (signal: AbortSignal) => Promise<{ scene: Scene; request: Omit<AnswerRequest, 'image'> }>,
    listener: AnswerListener,
    stopped: AbortSignal,
  ): Promise<Answered>;
}

/**
 * A conversation about one picture. Made by `model.chat`. Every question sees all turns before it, and costs only its own
 * tokens: the KV cache of the turns is kept while nothing else is asked of the model, and computed again when it was.
 */
export class Chat {
  readonly #parts: ChatParts;
  #turns: readonly ChatTurn[] = [];
  /** Tokens of all turns behind the image, as they were; `null` where they must be made of the text. */
  #said: readonly number[] | null = null;
  /** Ends with the question before. */
  #before: Promise<void> = Promise.resolve();
  readonly #disposing = new AbortController();
  #scene: Promise<Scene>;
  /** Whether the picture could not be looked at. */
  #unseen = false;

  /** Not for applications: they get chats from `model.chat`. */
  constructor(parts: ChatParts) {
    this.#parts = parts;
    this.#scene = this.#look();
  }

  /**
   * The picture: its size, and where the model looks on it. Rejects when it can't be looked at; the next question tries again.
   */
  get scene(): Promise<Scene> {
    return this.#scene;
  }

  /** What was said so far, by the user and the model in turn. The answer under way is not among it yet. */
  get turns(): readonly ChatTurn[] {
    return this.#turns;
  }

  /**
   * Asks the next question. Returns at once; errors come out of the answer. A question that fails leaves the conversation as it
   * was; of an answer that is cancelled or aborted, what came is kept. One that is cancelled before the picture was looked at
   * leaves looking at it to the next one. Where that failed, the picture is read again, as it is now.
   *
   * The answer's errors: those of `model.ask`. {@link ArgumentError} `PROMPT_TOO_LONG` and `CONTEXT_FULL`: the conversation has
   * filled the model's context; a shorter question or answer may still fit, or begin another chat.
   */
  ask(text: string, options: AskOptions = {}): Answer {
    if (this.#unseen) this.#scene = this.#look();
    const seen = this.#scene;
    const before = this.#before;
    let finish = (): void => undefined;
    this.#before = new Promise((resolve) => (finish = resolve));
    // A wrong signal is reported by the answer, like every other error.
    const given: unknown = (options as AskOptions | null)?.signal;
    return new Answer(
      async (listener, stopped) => {
        try {
          return await this.#ask(text, options, before, seen, listener, stopped);
        } finally {
          // A question that was aborted while it waited does not let the next one overtake those before.
          void before.then(finish);
        }
      },
      given instanceof AbortSignal ? given : undefined,
    );
  }

  /** Ends looking at the picture, or frees what is kept of it; a scene that the chat was begun on is its owner's. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposing.abort();
    if (this.#parts.owned) void this.#scene.then((scene) => scene.dispose()).catch(() => undefined);
  }

  /** `using`: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  async #ask(
    text: string,
    options: AskOptions,
    before: Promise<void>,
    seen: Promise<Scene>,
    listener: AnswerListener,
    stopped: AbortSignal,
  ): Promise<Answered['state']> {
    let shown = '';
    const listening: AnswerListener = {
      ...listener,
      emit: (piece) => {
        shown += piece.text;
        listener.emit(piece);
      },
    };
    try {
      const { state, said } = await this.#parts.answer(
        async (signal) => {
          checkCommon(options);
          await untilAborted(before, signal);
          return { scene: await this.#seen(seen, signal), request: this.#request(text, options) };
        },
        listening,
        stopped,
      );
      this.#keep(text, shown, said);
      return state;
    } catch (error) {
      // What was heard was said.
      if (error instanceof AbortedError && shown !== '') this.#keep(text, shown, null);
      throw error;
    }
  }

  get #disposed(): boolean {
    return this.#disposing.signal.aborted;
  }

  #look(): Promise<Scene> {
    this.#unseen = false;
    const scene = this.#parts.look(this.#disposing.signal);
    // Every question that waits for it tells.
    scene.catch(() => (this.#unseen = !this.#disposed));
    return scene;
  }

  async #seen(looking: Promise<Scene>, signal: AbortSignal): Promise<Scene> {
    try {
      const scene = await untilAborted(looking, signal);
      if (!this.#disposed) return scene;
    } catch (error) {
      // Of this question only its own end is told as an abort.
      if (signal.aborted || !this.#disposed) throw error;
    }
    throw forgotten();
  }

  #request(text: string, options: AskOptions): Omit<AnswerRequest, 'image'> {
    const turns = this.#turns.map(({ role, text: content }): ChatMessage => ({ role, content }));
    const prompt: ChatMessage[] = [
      ...beginning(this.#parts.system),
      ...turns,
      { role: 'user', content: text },
    ];
    return { prompt, options: without(options, 'signal'), turn: { said: this.#said } };
  }

  #keep(question: string, answer: string, said: readonly number[] | null): void {
    this.#turns = [...this.#turns, { role: 'user', text: question }, { role: 'assistant', text: answer }];
    this.#said = said;
  }
}

/** How a conversation begins, before the first question. */
export function beginning(system: string | undefined): ChatMessage[] {
  return system === undefined ? [] : [{ role: 'system', content: system }];
}

function forgotten(): ArgumentError {
  return new ArgumentError({
    code: 'IMAGE_INVALID',
    message: 'The chat was disposed of.',
    fix: 'Begin another one with model.chat.',
  });
}
