/** Opening a GPU device: adapter, limits, features; and what happens when it is lost. */
import type { Choice } from '../../backend/index.ts';
import { DeviceError, UnsupportedError } from '../../errors/index.ts';
import type { Host } from '../../host.ts';

/** What an adapter is, as far as it says. */
export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** It computes on the CPU: WASM is as good, and sure to be there. */
  readonly software: boolean;
}

export interface GpuOptions {
  /** A device of the caller's: used as it is, and never destroyed. */
  readonly gpu?: GPUDevice;
  /** Refuse an adapter that computes on the CPU. */
  readonly hardwareOnly?: boolean;
}

/** Limits worth more than the default where the adapter has more. */
const RAISED = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;
const WANTED: readonly GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];

/** A device in use. */
export class OpenDevice {
  readonly device: GPUDevice;
  readonly adapter: AdapterReport;
  readonly choices: readonly Choice[];
  /** WGSL language features. */
  readonly language: ReadonlySet<string>;
  readonly #own: boolean;
  #lost: DeviceError | null = null;
  #disposed = false;
  /** Settles when the device is lost: work that would wait for it for ever is raced with this. */
  readonly #loss: Promise<never>;
  #lose: (error: DeviceError) => void = () => undefined;
  /** The first error that no scope caught: a mistake of ours, reported at the next chance. */
  #uncaptured: string | null = null;
  readonly #onError = (event: GPUUncapturedErrorEvent): void => {
    this.#uncaptured ??= event.error.message;
    event.preventDefault();
  };

  constructor(
    device: GPUDevice,
    adapter: AdapterReport,
    language: ReadonlySet<string>,
    choices: readonly Choice[],
    own: boolean,
  ) {
    this.device = device;
    this.adapter = adapter;
    this.language = language;
    this.choices = choices;
    this.#own = own;
    this.#loss = new Promise((_, reject) => (this.#lose = reject));
    // Nobody may be waiting when it is lost.
    this.#loss.catch(() => undefined);
    // Of the caller's device, errors may be the caller's own.
    if (own) device.addEventListener('uncapturederror', this.#onError);
    void device.lost.then(({ reason, message }) => this.lose(`${reason}: ${message}`));
  }

  /** Marks the device as lost. Also for tests: some runtimes have no way to lose a device for real. */
  lose(why: string): void {
    if (this.#lost) return;
    this.#lost = this.#disposed
      ? new DeviceError({
          code: 'MODEL_DISPOSED',
          message: 'The model was disposed of.',
          fix: 'Load it again to ask more.',
        })
      : new DeviceError({
          code: 'DEVICE_LOST',
          message: `The GPU device was lost (${why}).`,
          fix: 'The model starts again by itself; if this message reaches you, load the model again, or use device "wasm".',
        });
    this.#lose(this.#lost);
  }

  /** @throws {DeviceError} `DEVICE_LOST`, or `WORKER_FAILED` after an error that nothing was prepared for. */
  assertAlive(): void {
    if (this.#lost) throw this.#lost;
    if (this.#uncaptured === null) return;
    const message = this.#uncaptured;
    this.#uncaptured = null;
    throw new DeviceError({
      code: 'WORKER_FAILED',
      message: `The GPU refused a command: ${message}`,
      fix: 'Use device "wasm", and report this message.',
    });
  }

  /** `work`, unless the device is lost meanwhile. */
  async unlessLost<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await Promise.race([work, this.#loss]);
      if (this.#lost) throw this.#lost;
      return result;
    } catch (error) {
      // What fails on a lost device fails because of that.
      work.catch(() => undefined);
      throw this.#lost ?? error;
    }
  }

  /** Everything submitted so far is done. */
  async idle(): Promise<void> {
    await this.unlessLost(this.device.queue.onSubmittedWorkDone().then(() => undefined));
  }

  /** Destroys the device if it was made here. */
  dispose(): void {
    this.#disposed = true;
    this.lose('disposed');
    this.device.removeEventListener('uncapturederror', this.#onError);
    if (this.#own) this.device.destroy();
  }
}

/**
 * Takes the caller's device, or asks the host for the best adapter and opens one with its limits.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`, saying what is missing.
 */
export async function openDevice(host: Host, { gpu: given, hardwareOnly }: GpuOptions): Promise<OpenDevice> {
  if (given) {
    const choices = [{ what: 'device', chosen: 'webgpu', reason: "the caller's GPUDevice" }];
    const report = reportOf(given.adapterInfo);
    // The language features belong to navigator.gpu, which a device does not lead to.
    const language = await host.openGpu().then(
      (gpu) => new Set(gpu.wgslLanguageFeatures),
      () => new Set<string>(),
    );
    return new OpenDevice(given, report, language, choices, false);
  }
  const gpu = await host.openGpu({ hardwareOnly });
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) {
    throw new UnsupportedError({
      code: 'BACKEND_UNAVAILABLE',
      message: 'WebGPU is there, but it has no adapter: no GPU, no driver, or one that is blocked.',
      fix: 'Install a GPU driver with Vulkan, Metal or Direct3D 12, or use device "auto" or "wasm".',
    });
  }
  const report = reportOf(adapter.info);
  if (hardwareOnly && report.software) {
    throw new UnsupportedError({
      code: 'BACKEND_UNAVAILABLE',
      message: `The only WebGPU adapter, ${nameOf(report)}, computes on the CPU.`,
      fix: 'Nothing, if WASM is good enough; device "webgpu" takes this adapter all the same.',
    });
  }
  const features = WANTED.filter((feature) => adapter.features.has(feature));
  const limits: Record<string, number> = {};
  for (const name of RAISED) limits[name] = adapter.limits[name];
  const label = 'llava-sp';
  const device = await adapter.requestDevice({ label, requiredFeatures: features, requiredLimits: limits });
  const choices = [{ what: 'adapter', chosen: nameOf(report), reason: 'the first that WebGPU offers' }];
  return new OpenDevice(device, report, new Set(gpu.wgslLanguageFeatures), choices, true);
}

export function nameOf({ vendor, architecture, description }: AdapterReport): string {
  return [description || [vendor, architecture].filter(Boolean).join(' ')].join(' ').trim() || 'unnamed';
}

function reportOf(info: GPUAdapterInfo | undefined): AdapterReport {
  const { vendor = '', architecture = '', description = '' } = info ?? {};
  const text = `${vendor} ${architecture} ${description}`.toLowerCase();
  const software =
    info?.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|softpipe|warp/.test(text);
  return { vendor, architecture, description, software };
}
