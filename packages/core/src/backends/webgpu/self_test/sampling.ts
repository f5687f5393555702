/** The kernels that choose a token, against the plain definition. */
import type { Executable, Sampling } from '../../../backend/index.ts';
import { embed, Recorder } from '../../../ops/index.ts';
import { distribution } from '../../../reference/sample.ts';
import { isGreedy } from '../decode.ts';
import type { WebGpuBackend } from '../index.ts';
import type { KernelName } from '../shader.ts';
import { random } from './builder.ts';
import { stored } from './weights.ts';

/** Logits of a token: more than one chunk of every variant of argmax, and no multiple of any. */
const VOCAB = 4999;

const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

interface Draw {
  /** Row of the table of logits. */
  readonly row: number;
  readonly sampling: Sampling;
  /** The most, the second most ... likely of the tokens that are left is drawn. */
  readonly rank: number;
}

const greedy: readonly Draw[] = [0, 1, 2, 3].map((row) => ({ row, sampling: GREEDY, rank: 0 }));
const drawn: readonly Draw[] = [
  { row: 0, sampling: { ...GREEDY, temperature: 0.8 }, rank: 2 },
  { row: 1, sampling: { ...GREEDY, temperature: 0.7, topK: 5 }, rank: 4 },
  { row: 0, sampling: { ...GREEDY, temperature: 1.3, topP: 0.9 }, rank: 7 },
  { row: 3, sampling: { ...GREEDY, temperature: 1, topK: 40, topP: 0.8, minP: 0.02 }, rank: 1 },
  { row: 0, sampling: { ...GREEDY, temperature: 2, minP: 0.1 }, rank: 3 },
];

/** Rows of logits: ordinary; large, the largest last; equal ones, of which the lowest id counts; all negative. */
function table(): Float32Array {
  const uniform = random(77);
  const values = Float32Array.from({ length: 4 * VOCAB }, () => 12 * uniform() ** 3 - 6);
  for (let i = VOCAB; i < 2 * VOCAB; i++) values[i] *= 20;
  values[2 * VOCAB - 1] = 121;
  for (const id of [4998, 3000, 1500]) values[2 * VOCAB + id] = 7;
  for (let i = 3 * VOCAB; i < 4 * VOCAB; i++) values[i] -= 100;
  return values;
}

/** What a kernel of sampling got wrong, or nothing. `cheap`: one draw alone. */
export async function testSampling(
  backend: WebGpuBackend,
  kernel: KernelName,
  cheap: boolean,
): Promise<string | undefined> {
  const logits = table();
  const r = new Recorder('sampling');
  const ref = r.matrix('logits', 4, VOCAB);
  embed(r, r.input('ids', 1, 1, 'u32'), ref, r.output('out', 1, VOCAB));
  await backend.loadWeight(stored(ref, 'f32', 'F32', 0, new Uint8Array(logits.buffer)));
  const executable = await backend.compile(r.finish());
  const draws = kernel === 'sample' ? drawn : greedy;
  try {
    for (const draw of cheap ? draws.slice(2, 3) : draws) {
      const row = logits.subarray(draw.row * VOCAB, (draw.row + 1) * VOCAB);
      const wrong = await compare(backend, executable, row, draw);
      if (wrong) return wrong;
    }
  } finally {
    executable.release();
  }
  return undefined;
}

async function compare(
  backend: WebGpuBackend,
  executable: Executable,
  logits: Float32Array,
  { row, sampling, rank }: Draw,
): Promise<string | undefined> {
  const chances = distribution(logits, new Set(), sampling);
  const likely = [...chances.keys()].sort((a, b) => chances[b] - chances[a] || a - b);
  const want = likely[rank];
  // The middle of the token's share: no rounding reaches its ends.
  let below = chances[want] / 2;
  for (let id = 0; id < want; id++) below += chances[id];
  const ids = Uint32Array.of(row);
  const options = { prompt: executable, step: executable, ids, pos: 0, known: [], count: 1, sampling };
  for await (const got of backend.decode({ ...options, draw: () => below })) {
    if (got === want) return undefined;
    const how = isGreedy(sampling) ? 'the most likely' : `drawn at ${below.toFixed(6)}`;
    return `token ${got}, not ${want}, is ${how} (${JSON.stringify(sampling)})`;
  }
  return 'no token came';
}
