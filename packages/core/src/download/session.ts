import type { CacheRecord, Entry, KeptFile, PartialFile } from './entry.ts';
import { Interrupted, refusal, type Reply, type Request } from './http.ts';
import type { Meter } from './progress.ts';
import { Tries, Watch, type Limits } from './tries.ts';

/** What the parts of a download share. */
export interface SessionState {
  readonly entry: Entry;
  readonly ask: Request;
  readonly limits: Limits;
  readonly meter: Meter;
  record: CacheRecord;
  /** The hub's commit that all files are taken of, once it is known: a branch may move meanwhile. */
  commit: string | null;
  /** Of the record, in turn. */
  saving: Promise<void>;
}

/** A download of some files of one model, by who holds the lock of its folder. */
export class Session {
  readonly signal: AbortSignal;
  readonly #state: SessionState;

  constructor(state: SessionState, signal: AbortSignal) {
    this.#state = state;
    this.signal = signal;
  }

  /** The same download, for a part of it that may end earlier. */
  until(signal: AbortSignal): Session {
    return new Session(this.#state, signal);
  }

  get entry(): Entry {
    return this.#state.entry;
  }

  get limits(): Limits {
    return this.#state.limits;
  }

  get meter(): Meter {
    return this.#state.meter;
  }

  get record(): CacheRecord {
    return this.#state.record;
  }

  get commit(): string | null {
    return this.#state.commit;
  }

  readonly request: Request = async (file, init) => {
    const reply = await this.#state.ask(file, init);
    if (reply.response.ok) this.#state.commit ??= reply.commit;
    return reply;
  };

  kept(file: string): KeptFile | undefined {
    const { files } = this.record;
    return Object.hasOwn(files, file) ? files[file] : undefined;
  }

  partial(file: string): PartialFile | undefined {
    const { partials } = this.record;
    return Object.hasOwn(partials, file) ? partials[file] : undefined;
  }

  /** Notes what the bytes that are about to come are of. */
  begin(file: string, state: PartialFile): Promise<void> {
    return this.#save({ ...this.record, partials: { ...this.record.partials, [file]: state } });
  }

  /** What is here of a file is not relied on any more. */
  async forget(file: string): Promise<void> {
    if (this.kept(file)) await this.#save({ ...this.record, files: without(this.record.files, file) });
  }

  /** Notes that a file is whole. */
  keep(file: string, kept: KeptFile): Promise<void> {
    const partials = without(this.record.partials, file);
    return this.#save({ ...this.record, partials, files: { ...this.record.files, [file]: kept } });
  }

  /**
   * Asks the server for what it knows of a file. `null`: there is none; `unknown`: it does not say without giving it.
   */
  async head(file: string): Promise<Reply | null | 'unknown'> {
    const tries = new Tries(this.limits, this.entry.name);
    for (;;) {
      const watch = new Watch(this.limits.stallTimeout, this.signal, file);
      try {
        const { commit } = this;
        const reply = await watch.during(
          this.request(file, { method: 'HEAD', commit, signal: watch.signal }),
        );
        const { status, ok } = reply.response;
        if (ok) return reply;
        if (status === 404 || status === 410) return null;
        const error = refusal(reply.response, file, this.entry.name);
        // Whether it is refused altogether, the file itself tells.
        if (!(error instanceof Interrupted) || status === 501) return 'unknown';
        throw error;
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
        await tries.again(error, false, this.signal);
      } finally {
        watch.stop();
      }
    }
  }

  /** The file that is here already, when it is the server's; `reply` is that of {@link head}. */
  current(file: string, reply: Reply | null | 'unknown'): KeptFile | null {
    const kept = this.kept(file);
    if (!kept || reply === null || reply === 'unknown') return null;
    if (this.isPinned(kept)) return kept;
    if (reply.sha256 !== null) return reply.sha256 === kept.sha256 ? kept : null;
    const same = kept.etag !== null && reply.etag === kept.etag && (reply.size ?? kept.size) === kept.size;
    return same ? kept : null;
  }

  /** A file of the commit that all are taken of: it never changes. */
  isPinned(kept: KeptFile): boolean {
    return this.commit !== null && kept.commit === this.commit;
  }

  async #save(record: CacheRecord): Promise<void> {
    const state = this.#state;
    state.record = record;
    // In turn, and always the newest: files end at the same time.
    state.saving = state.saving.catch(() => undefined).then(() => this.entry.save(state.record));
    await state.saving;
  }
}

function without<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
