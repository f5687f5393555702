import { operands, sameView } from '../ops/operands.ts';
import type { Command, Program, Storage, Tensor } from '../ops/index.ts';
import type { Backend, Executable } from './index.ts';

/** Rows of one product's input that are heard in a run; evenly spaced, they tell about all. */
const MOST_ROWS = 64;

/**
 * Hears inputs of products with matrices: `weights` names those that are multiplied by the same rows; `x` holds some of them,
 * `[rows, k]`, and is overwritten by the next run.
 */
export type Hear = (weights: readonly string[], x: Float32Array, k: number) => void;

interface Tap {
  readonly weights: string[];
  readonly from: Tensor;
}

/**
 * A backend that runs what `backend` runs and lets `hear` have the inputs of all products. It decodes step by step, so that
 * nothing stays on the device.
 *
 * @param most products with longer rows are not heard.
 */
export function listening(backend: Backend, hear: Hear, most: number): Backend {
  const heard = new WeakMap<Executable, { inner: Executable; taps: readonly Tap[] }>();
  return {
    get report() {
      return backend.report;
    },
    loadsAtOnce: backend.loadsAtOnce,
    reserve: backend.reserve?.bind(backend),
    loadWeight: (weight, signal) => backend.loadWeight(weight, signal),
    createCache: (caches) => backend.createCache(caches),
    async compile(program) {
      const { program: longer, taps } = withTaps(program, most);
      const inner = await backend.compile(longer);
      const executable: Executable = { program, release: () => inner.release() };
      heard.set(executable, { inner, taps });
      return executable;
    },
    async run(executable, options) {
      const known = heard.get(executable);
      if (!known) throw new Error('an executable of another backend');
      const outputs = await backend.run(known.inner, options);
      const own = outputs.length - known.taps.length;
      known.taps.forEach(({ weights, from }, i) => hear(weights, outputs[own + i], from.cols));
      return outputs.slice(0, own);
    },
    saveCache: (tokens) => backend.saveCache(tokens),
    restoreCache: (snapshot) => backend.restoreCache(snapshot),
    memory: () => backend.memory(),
    dispose: () => backend.dispose(),
  };
}

/** The program with a copy of each product's input in front of it, read back as an output behind its own. */
function withTaps(program: Program, most: number): { program: Program; taps: readonly Tap[] } {
  const taps: Tap[] = [];
  const storages: Storage[] = [...program.storages];
  const outputs: Tensor[] = [...program.outputs];
  const commands: Command[] = [];
  // The last tap, while what it copied is still there.
  let last: Tap | null = null;
  for (const command of program.commands) {
    if (command.op === 'linear' && command.w.kind === 'matrix' && command.w.k <= most) {
      const { x, w } = command;
      if (last && sameView(last.from, x)) last.weights.push(w.name);
      else {
        const rows = Math.min(x.rows, MOST_ROWS);
        const copy = { storage: storages.length, offset: 0, rows, cols: x.cols, ld: x.cols };
        storages.push({ name: `input of ${w.name}`, kind: 'output', dtype: 'f32', size: rows * x.cols });
        outputs.push(copy);
        commands.push({ op: 'copy', x: { ...x, rows, ld: Math.floor(x.rows / rows) * x.ld }, y: copy });
        last = { weights: [w.name], from: x };
        taps.push(last);
      }
    }
    commands.push(command);
    const source = last?.from.storage;
    if (operands(command).writes.some(({ storage }) => storage === source)) last = null;
  }
  return { program: { ...program, storages, outputs, commands }, taps };
}
