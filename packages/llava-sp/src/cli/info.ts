import type { Flags } from '../cli.ts';
import { interruptSignal, loadFor } from './model.ts';
import { EXIT, UsageError } from './usage.ts';

/** `llava-sp info`: loads the model and says what runs here, and why. */
export async function info(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length > 0) throw new UsageError('info takes no arguments; choose a model with --model DIR');
  const model = await loadFor(flags, interruptSignal());
  try {
    const memory = await model.memory();
    if (flags.json) {
      console.log(JSON.stringify({ ...model.info, memory }, null, 2));
      return EXIT.ok;
    }
    const { name, location, config, visualTokens, tiles, weights, choices, warnings, loadTime } = model.info;
    const { vision, spatial, text } = config;
    const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
    const detail = spatial?.detail ? `, detail ${spatial.detail.kernel}x${spatial.detail.kernel}` : '';
    const tokens = `${visualTokens} visual tokens`;
    const visual = tiles > 1 ? `up to ${tokens} on ${tiles} tiles` : tokens;
    const kernels = spatial ? `kernels ${spatial.kernels.join(', ')}${detail}` : 'none';
    console.log(`model     ${name} (${location})
image     ${vision.imageSize} x ${vision.imageSize} pixels, ${vision.grid} x ${vision.grid} patches, ${visual}
vision    ${vision.layers} layers of ${vision.width}
spatial   ${kernels}
language  ${text.layers} layers of ${text.width}, ${text.heads} heads on ${text.kvHeads}, context ${text.context}
weights   ${Object.entries(weights)
      .map(([format, bytes]) => `${format} ${mb(bytes)}`)
      .join(', ')}
memory    ${mb(memory.total)}: weights ${mb(memory.weights)}, KV cache ${mb(memory.cache)}, scratch ${mb(memory.scratch)}
loaded    in ${loadTime.toFixed(0)} ms
`);
    for (const { what, chosen, reason } of choices) console.log(`${what}: ${chosen} (${reason})`);
    for (const { message } of warnings) console.log(`warning: ${message}`);
  } finally {
    await model.dispose();
  }
  return EXIT.ok;
}
