/**
 * `npm run bench`: the kernels and the demo model. `npm run bench -- --shape qwen2-0.5b|tinyllama-1.1b|vit-l-336`: a whole
 * model of random weights. `npm run bench -- --device webgpu`: the GPU's benches, see gpu.ts for their options. Any other
 * option goes to the kernels' bench.
 */
import { parseArgs } from 'node:util';
import { benchModel } from './model.ts';
import { shapeNames, type ShapeName } from './model_shapes.ts';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'wasm' },
    shape: { type: 'string' },
    threads: { type: 'string' },
    repeats: { type: 'string', default: '3' },
    variant: { type: 'string' },
  },
  // The kernels' bench has options of its own.
  strict: false,
});

if (values.device === 'webgpu') {
  const { benchGpu } = await import('./gpu.ts');
  // A GPU object that is held keeps the process alive.
  process.exit((await benchGpu(process.argv.slice(2))) ? 0 : 1);
} else if (values.device !== 'wasm') {
  fail('--device is wasm or webgpu');
} else if (values.shape === undefined) {
  // It reads its options itself, and measures when it is imported.
  await import('./kernels.ts');
  const { benchDemo } = await import('./model_demo.ts').catch((cause: unknown) => {
    throw new Error('The demo model is measured through the built packages: npm run build first.', { cause });
  });
  await benchDemo();
} else {
  await benchModel(shapeName(values.shape), {
    threads: typeof values.threads === 'string' ? values.threads.split(',').map(count) : undefined,
    repeats: count(String(values.repeats)),
    variant: variantName(values.variant),
  });
}

function shapeName(text: unknown): ShapeName {
  const found = shapeNames.find((name) => name === text);
  return found ?? fail(`--shape is one of ${shapeNames.join(', ')}`);
}

function variantName(text: unknown): 'simd' | 'relaxed' | undefined {
  if (text === undefined || text === 'simd' || text === 'relaxed') return text;
  return fail('--variant is simd or relaxed');
}

function count(text: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 1 ? number : fail(`${text} is not a whole number above 0`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
