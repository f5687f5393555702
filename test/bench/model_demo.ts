/** The demo model through the public API, as people use it: what a question costs, and a second one on the same picture. */
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@llava-sp/demo-model';
import { load } from '@llava-sp/node';
import { columns } from './table.ts';

const picture = fileURLToPath(new URL('../../examples/images/scene.png', import.meta.url));

/** Asks the demo model and prints milliseconds, the best of `repeats`, for each number of threads. */
export async function benchDemo(threadCounts: readonly number[] = [1, 2], repeats = 5): Promise<void> {
  const lines = [
    ['demo model', 'load ms', 'vision ms', 'prefill ms', 'first answer ms', 'second ms', 'decode tokens/s'],
  ];
  for (const threads of threadCounts) {
    const model = await load(modelUrl, { threads });
    try {
      const firsts: { vision: number; prefill: number; total: number; tokensPerSecond: number }[] = [];
      const seconds: number[] = [];
      for (let i = 0; i < repeats; i++) {
        const scene = await model.look(picture);
        const answer = model.ask(scene, 'Describe the image.', { maxTokens: 64 });
        await answer.text();
        seconds.push(answer.timings.total);
        scene.dispose();
        firsts.push(await coldAnswer(model, i));
      }
      const least = (values: number[]) => Math.min(...values).toFixed(1);
      lines.push([
        `${threads} thread${threads > 1 ? 's' : ''}`,
        model.info.loadTime.toFixed(0),
        least(firsts.map((t) => t.vision)),
        least(firsts.map((t) => t.prefill)),
        least(firsts.map((t) => t.total)),
        least(seconds),
        Math.max(...firsts.map((t) => t.tokensPerSecond)).toFixed(0),
      ]);
    } finally {
      await model.dispose();
    }
  }
  console.log(columns(lines));
}

/** A question on a picture the model has not seen: raw pixels that differ from run to run. */
async function coldAnswer(model: Awaited<ReturnType<typeof load>>, seed: number) {
  const [width, height] = [320, 240];
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7 + seed * 31) % 256);
  const answer = model.ask({ data, width, height }, 'Describe the image.', { maxTokens: 64 });
  await answer.text();
  return answer.timings;
}
