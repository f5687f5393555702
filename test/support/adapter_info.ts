/** What WebGPU a runtime has: runs in Deno and in a page. */
export default async function adapterInfo(): Promise<{
  description: string;
  features: string[];
  binding: number;
  sum: number[];
}> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error('no adapter');
  const device = await adapter.requestDevice();
  const code = `@group(0) @binding(0) var<storage, read_write> x: array<u32>;
    @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] = id.x * 3u; }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
  });
  const usage = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, STORAGE: 128 };
  const buffer = device.createBuffer({ size: 16, usage: usage.STORAGE | usage.COPY_SRC });
  const readback = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const layout = pipeline.getBindGroupLayout(0);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, readback, 0, 16);
  device.queue.submit([encoder.finish()]);
  await readback.mapAsync(usage.MAP_READ);
  const sum = [...new Uint32Array(readback.getMappedRange())];
  device.destroy();
  return {
    description: adapter.info.description,
    features: [...adapter.features].sort(),
    binding: adapter.limits.maxStorageBufferBindingSize,
    sum,
  };
}
