/** A GPU that compiles other code than it is given: a driver whose kernels compute wrongly. */

export interface Tampered {
  readonly gpu: GPU;
  /** Labels of the shaders compiled so far. */
  readonly compiled: string[];
}

/** `change` gets a shader's name, as `linear_gemv_q4_row`, and its code. `info` replaces what the adapter says of itself. */
export function tamper(
  real: GPU,
  change: (name: string, code: string) => string = (_, code) => code,
  info?: Partial<GPUAdapterInfo>,
): Tampered {
  const compiled: string[] = [];
  const requestDevice = async (adapter: GPUAdapter, descriptor?: GPUDeviceDescriptor) => {
    const device = await adapter.requestDevice(descriptor);
    const create = device.createShaderModule.bind(device);
    device.createShaderModule = (module) => {
      const { label = '', code } = module;
      compiled.push(label);
      return create({ ...module, code: change(label, code) });
    };
    return device;
  };
  const gpu = {
    wgslLanguageFeatures: real.wgslLanguageFeatures,
    async requestAdapter(options?: GPURequestAdapterOptions) {
      const adapter = await real.requestAdapter(options);
      if (!adapter) return null;
      return {
        info: info ?? adapter.info,
        features: adapter.features,
        limits: adapter.limits,
        requestDevice: (descriptor?: GPUDeviceDescriptor) => requestDevice(adapter, descriptor),
      };
    },
  } as GPU;
  return { gpu, compiled };
}
