/**
 * The seam between core and a runtime (a browser, Node, Deno): bytes, threads, image decoding. Core calls
 * these and nothing else of the platform; an adapter implements them and nothing else.
 */

/** Random-access bytes of one file. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /**
   * Bytes `[begin, end)`; rejects when the range is not inside the file or the read falls short. They are the caller's: it may
   * hand their buffer to another thread.
   */
  read(begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Releases the file. */
  close(): Promise<void>;
}

/** The files of one model folder, by name. */
export interface ModelFiles {
  /** For messages: the folder or address. */
  readonly location: string;
  /** Whether there is such a file. */
  has(name: string): Promise<boolean>;
  /** Rejects with a LoadError `MODEL_FILE_MISSING` when there is no such file. */
  open(name: string): Promise<ByteSource>;
}

/** A worker thread that runs core's worker entry, seen from the thread that started it. */
export interface WorkerPort {
  /** Sends a message; `transfer` goes over and is gone here. */
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Who hears the thread's messages. */
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when the thread dies of an error of its own. */
  onError(listener: (error: unknown) => void): void;
  /** Ends the thread, whatever it does. */
  terminate(): Promise<void>;
}

/** Decoded pixels: RGB, 8 bits each, row-major, EXIF orientation applied, alpha flattened. */
export interface DecodedImage {
  /** `[height, width, 3]`. */
  data: Uint8Array;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
  /** Always 3: RGB. */
  channels: 3;
}

/** Pixels that a caller holds already, `[height, width, 3]` or `[height, width, 4]`; a canvas's `ImageData` is one. */
export interface RawImage {
  /** Row-major from the top left, 8 bits a channel: RGB, or RGBA with alpha not premultiplied. */
  data: Uint8Array | Uint8ClampedArray;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
}

/** A file being written, at its end. */
export interface GrowingFile {
  /** In bytes. */
  readonly size: number;
  /** Appends; the bytes may be used again once it resolves. @throws {LoadError} `CACHE_FULL`, `CACHE_UNAVAILABLE`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Empties the file. */
  reset(): Promise<void>;
  /** What was written is safe from a crash afterwards. Once: a second call does nothing. */
  close(): Promise<void>;
}

/**
 * Where downloaded models are kept: folders of files, one folder a model. Names are plain ones, without separators.
 * Everything that can't be done is a LoadError `CACHE_UNAVAILABLE`; what no longer fits, `CACHE_FULL`.
 */
export interface ModelStore {
  /** For messages: where it lies. */
  readonly location: string;
  /** The names of all folders. */
  folders(): Promise<readonly string[]>;
  /** Sizes in bytes by name; empty where there is no such folder. */
  list(folder: string): Promise<ReadonlyMap<string, number>>;
  /** Rejects with a LoadError `MODEL_FILE_MISSING` when there is no such file. */
  open(folder: string, name: string): Promise<ByteSource>;
  /** Opens a file at its end, and makes it where there is none. For one writer at a time, who holds the lock. */
  append(folder: string, name: string): Promise<GrowingFile>;
  /** Writes a small file whole: whoever reads it, also after a crash, finds the old text or the new one. */
  replace(folder: string, name: string, text: string): Promise<void>;
  /** Within a folder; a file that had the name is replaced. */
  rename(folder: string, from: string, to: string): Promise<void>;
  /** A file, or the folder with all its files; nothing when there is none. */
  delete(folder: string, name?: string): Promise<void>;
  /** Bytes that may still be written; `null` where the platform does not say. */
  available(): Promise<number | null>;
  /** Asks that what is kept stays when space gets short; whether it will. */
  persist?(): Promise<boolean>;
  /**
   * Waits until no other process or tab holds the folder, and gives what releases it; without `wait` it gives `null` at once
   * when somebody does. A holder that died is not waited for longer than some seconds.
   */
  lock(
    folder: string,
    options?: { wait?: boolean; signal?: AbortSignal },
  ): Promise<(() => Promise<void>) | null>;
}

/** Short texts by name, which last between runs. */
export interface Settings {
  /** `null` when it was never set, or can't be read. */
  get(key: string): Promise<string | null>;
  /** Never rejects: where nothing can be kept, nothing is. */
  set(key: string, value: string): Promise<void>;
}

/** One choice that a host made, and why; for people. */
export interface HostChoice {
  /** What was to be chosen. */
  readonly what: string;
  /** What was. */
  readonly chosen: string;
  /** Why. */
  readonly reason: string;
}

/** A runtime, as core sees it. */
export interface Host {
  /** Of the runtime, for messages. */
  readonly name: string;
  /** Cores to use when the caller does not say. */
  readonly hardwareConcurrency: number;
  /** Whether memory can be shared between threads (in browsers: cross-origin isolation). */
  readonly sharedMemory: boolean;
  /** Opens a model folder by path or file: URL. Of addresses and hub ids, `hub:owner/name@revision`, files come as they are asked for. */
  openModel(source: string | URL, signal?: AbortSignal): Promise<ModelFiles>;
  /** The bytes of an image given by path, URL or Blob. */
  readImage(source: string | URL | Blob, signal?: AbortSignal): Promise<Uint8Array>;
  /** Pixels of a JPEG, PNG, WebP or AVIF. @throws {ArgumentError} `IMAGE_FORMAT`, `IMAGE_DAMAGED` and the like. */
  decodeImage(bytes: Uint8Array, signal?: AbortSignal): Promise<DecodedImage>;
  /**
   * Pixels, or the bytes of a file, of a picture as only this platform has them, as a canvas; `null` for what is none. What may
   * change under the caller is read at once. The arrays are the caller's, which keeps and transfers them.
   *
   * @throws {ArgumentError} `IMAGE_INVALID` for one that can't be read; by the promise, too.
   */
  readPixels?(image: object, signal?: AbortSignal): Promise<RawImage | Uint8Array> | null;
  /** The bytes of one of core's own `.wasm` files, as `kernels.simd.wasm`. */
  readKernels(file: string): Promise<Uint8Array>;
  /** Starts a thread whose file calls `serve` of core's worker entry. */
  spawnWorker(): WorkerPort;
  /**
   * The runtime's WebGPU. With `hardwareOnly` the caller wants no adapter that computes on the CPU: a host that knows at
   * once that there is no other says so.
   *
   * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`, saying what is missing.
   */
  openGpu(options?: { hardwareOnly?: boolean }): Promise<GPU>;
  /**
   * The module of the library gpu.js, for the device `webgl`; without it that device can't be had. In whatever form an `import`
   * gives it: of a bundler, or of its script, which leaves the library in the global `GPU`.
   */
  openGpuJs?(): Promise<unknown>;
  /** What draws WebGL2 here; `null` where it can't be asked. */
  webGlRenderer?(): string | null;
  /** Short texts that last between runs, as what was measured on this machine. Losing one costs time, nothing else. */
  readonly settings: Settings;
  /** Where downloads are kept; without one, models come from folders and Blobs alone. */
  readonly store?: ModelStore;
  /** Where a model goes that does not fit into the store, or has none because it can't be used: it ends with the model. */
  readonly spareStore?: () => Promise<ModelStore>;
  /** What the host itself chose, and why: `model.info.choices` ends with it. */
  readonly choices?: readonly HostChoice[];
  /** In the place of the global one, where that is not to be relied on. */
  readonly fetch?: typeof fetch;
  /** What the user's environment says, where a runtime has one and may read it. */
  readonly environment?: (name: 'HF_ENDPOINT' | 'HF_TOKEN') => string | undefined;
}
