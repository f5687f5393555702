/**
 * The seam between core and a runtime (a browser, Node, Deno): bytes, threads, image decoding. Core calls
 * these and nothing else of the platform; an adapter implements them and nothing else.
 */

/** Random-access bytes of one file. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Bytes `[begin, end)`; rejects when the range is not inside the file or the read falls short. */
  read(begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Releases the file. */
  close(): Promise<void>;
}

/** The files of one model folder, by name. */
export interface ModelFiles {
  /** For messages: the folder or address. */
  readonly location: string;
  has(name: string): Promise<boolean>;
  /** Rejects with a LoadError `MODEL_FILE_MISSING` when there is no such file. */
  open(name: string): Promise<ByteSource>;
}

/** A worker thread that runs core's worker entry, seen from the thread that started it. */
export interface WorkerPort {
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when the thread dies of an error of its own. */
  onError(listener: (error: unknown) => void): void;
  terminate(): Promise<void>;
}

/** Decoded pixels: RGB, 8 bits each, row-major, EXIF orientation applied, alpha flattened. */
export interface DecodedImage {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3;
}

export interface Settings {
  /** `null` when it was never set, or can't be read. */
  get(key: string): Promise<string | null>;
  /** Never rejects: where nothing can be kept, nothing is. */
  set(key: string, value: string): Promise<void>;
}

export interface Host {
  readonly name: string;
  /** Cores to use when the caller does not say. */
  readonly hardwareConcurrency: number;
  /** Whether memory can be shared between threads (in browsers: cross-origin isolation). */
  readonly sharedMemory: boolean;
  /** Opens a model folder by path or URL. */
  openModel(source: string | URL, signal?: AbortSignal): Promise<ModelFiles>;
  /** The bytes of an image given by path, URL or Blob. */
  readImage(source: string | URL | Blob, signal?: AbortSignal): Promise<Uint8Array>;
  decodeImage(bytes: Uint8Array, signal?: AbortSignal): Promise<DecodedImage>;
  /** The bytes of one of core's own `.wasm` files, as `kernels.simd.wasm`. */
  readKernels(file: string): Promise<Uint8Array>;
  spawnWorker(): WorkerPort;
  /**
   * The runtime's WebGPU. With `hardwareOnly` the caller wants no adapter that computes on the CPU: a host that knows at
   * once that there is no other says so.
   *
   * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`, saying what is missing.
   */
  openGpu(options?: { hardwareOnly?: boolean }): Promise<GPU>;
  /** Short texts that last between runs, as what was measured on this machine. Losing one costs time, nothing else. */
  readonly settings: Settings;
}
