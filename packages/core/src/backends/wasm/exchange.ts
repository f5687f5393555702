/**
 * How threads with private memories see each other's columns: a small shared buffer of two regions, used in turn, and
 * a barrier. One barrier an exchange is enough: to write a region a second time a thread must have passed the barrier
 * of the exchange between, which every other thread reaches only after it has read the first.
 */

/** Bytes of one region; larger exchanges go in pieces of rows, so one row of any tensor must fit. */
export const REGION_BYTES = 4 << 20;

/** What a thread says that was let out of a barrier: the cause is in another's report. */
export const ELSEWHERE = 'another thread failed';

/** Words of the control block. */
const ARRIVED = 0;
const GENERATION = 1;
const FAILED = 2;
const CONTROL_BYTES = 64;

/** About 20 us of spinning, longer than threads of equal work drift apart; then sleep. */
const SPINS = 4000;

export const EXCHANGE_BYTES = CONTROL_BYTES + 2 * REGION_BYTES;

/** One exchange as the command list names it: this thread's block of `stage`, and the whole. */
export interface Slot {
  /** Address of the staging block in this thread's memory. */
  stage: number;
  ownOffset: number;
  ownBytes: number;
  totalBytes: number;
}

/** The views of a slot, made once: an exchange allocates nothing. */
interface SlotViews {
  own: Uint8Array;
  all: Uint8Array;
  sharedOwn: [Uint8Array, Uint8Array];
  sharedAll: [Uint8Array, Uint8Array];
}

export class Exchange {
  readonly #control: Int32Array;
  readonly #shared: SharedArrayBuffer;
  readonly #threads: number;
  readonly #spins: number;
  #region = 0;

  /** `crowded`: there are more threads than cores, so that one that spins keeps another from arriving. */
  constructor(shared: SharedArrayBuffer, threads: number, crowded = false) {
    this.#shared = shared;
    this.#threads = threads;
    this.#spins = crowded ? 0 : SPINS;
    this.#control = new Int32Array(shared, 0, CONTROL_BYTES / 4);
  }

  views(slot: Slot, memory: ArrayBuffer): SlotViews {
    const { stage, ownOffset, ownBytes, totalBytes } = slot;
    const region = (i: number) => CONTROL_BYTES + i * REGION_BYTES;
    return {
      own: new Uint8Array(memory, stage + ownOffset, ownBytes),
      all: new Uint8Array(memory, stage, totalBytes),
      sharedOwn: [
        new Uint8Array(this.#shared, region(0) + ownOffset, ownBytes),
        new Uint8Array(this.#shared, region(1) + ownOffset, ownBytes),
      ],
      sharedAll: [
        new Uint8Array(this.#shared, region(0), totalBytes),
        new Uint8Array(this.#shared, region(1), totalBytes),
      ],
    };
  }

  run(slot: SlotViews): void {
    const region = this.#region;
    this.#region = 1 - region;
    slot.sharedOwn[region].set(slot.own);
    this.barrier();
    slot.all.set(slot.sharedAll[region]);
  }

  /** Waits for all threads: spins a little, then sleeps. Throws once another thread has failed. */
  barrier(): void {
    const control = this.#control;
    const generation = Atomics.load(control, GENERATION);
    if (Atomics.add(control, ARRIVED, 1) === this.#threads - 1) {
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, GENERATION, 1);
      Atomics.notify(control, GENERATION);
      return;
    }
    for (let i = 0; i < this.#spins; i++) if (Atomics.load(control, GENERATION) !== generation) return;
    while (Atomics.load(control, GENERATION) === generation) {
      if (Atomics.load(control, FAILED) !== 0) throw new Error(ELSEWHERE);
      Atomics.wait(control, GENERATION, generation, 200);
    }
  }

  /** Lets the other threads out of their barrier, with an error. */
  fail(): void {
    Atomics.store(this.#control, FAILED, 1);
    Atomics.notify(this.#control, GENERATION);
  }
}

export type { SlotViews };
