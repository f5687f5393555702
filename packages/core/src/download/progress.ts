/** How far a download is. */
export interface DownloadProgress {
  /** Bytes that are here, with those of earlier runs. It falls when a part has to be fetched again. */
  readonly loaded: number;
  /** Bytes of all files; 0 while it is not known. */
  readonly total: number;
  /** Bytes a second, over the last seconds. */
  readonly rate: number;
  /** `null` while there is nothing to tell it by. */
  readonly secondsLeft: number | null;
}

/** Milliseconds between two reports. */
const INTERVAL = 100;
/** The rate is that of so many milliseconds. */
const WINDOW = 5000;

/** Adds up the bytes of files and reports now and then. Files that come before `start` are too small to count. */
export class Meter {
  #started = false;
  #loaded = 0;
  #total = 0;
  /** Bytes that came over the network, for the rate. */
  #received = 0;
  #reported = -Infinity;
  /** Until the next report, when one is due. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #samples: { time: number; received: number }[] = [];
  readonly #report: (progress: DownloadProgress) => void;

  constructor(report: (progress: DownloadProgress) => void) {
    this.#report = report;
  }

  start(): void {
    this.#started = true;
  }

  /** Bytes that are expected on top. */
  expect(bytes: number): void {
    this.#total += bytes;
  }

  /** Bytes that are here without a download; below 0 for some that were thrown away. */
  found(bytes: number): void {
    if (!this.#started) return;
    this.#loaded += bytes;
    const due = this.#reported + INTERVAL - performance.now();
    if (due <= 0) this.#tell();
    else this.#timer ??= setTimeout(() => this.#tell(), due);
  }

  received(bytes: number): void {
    if (this.#started) this.#received += bytes;
    this.found(bytes);
  }

  /** Reports what was not yet. */
  end(): void {
    if (this.#timer !== undefined) this.#tell();
  }

  /** Nothing is reported any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#started = false;
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const time = performance.now();
    this.#reported = time;
    const samples = this.#samples;
    samples.push({ time, received: this.#received });
    while (samples.length > 2 && time - samples[1].time > WINDOW) samples.shift();
    const [first] = samples;
    const seconds = (time - first.time) / 1000;
    const rate = seconds > 0 ? (this.#received - first.received) / seconds : 0;
    const total = Math.max(this.#total, this.#loaded);
    const secondsLeft = rate > 0 && this.#total > 0 ? (total - this.#loaded) / rate : null;
    this.#report({ loaded: this.#loaded, total: this.#total > 0 ? total : 0, rate, secondsLeft });
  }
}
