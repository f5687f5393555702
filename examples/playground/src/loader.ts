/** Loading models, one at a time. */
import { AbortedError, demoModel, load, type Device, type LoadOptions, type ModelSource } from 'llava-sp';
import { announce } from './announce.ts';
import { failure, modelState, type ModelState } from './state.ts';
import { stop } from './task.ts';
import { showDevice } from './view/facts.ts';

export interface Choice {
  /** For people. */
  readonly name: string;
  readonly source: ModelSource;
  readonly device: Device;
  readonly threads?: number;
  readonly token?: string;
}

/** A model larger than this is let go before another one is loaded, in bytes. */
const KEPT = 256e6;

let loading: AbortController | null = null;
/** What there is while another one loads. */
let kept: Extract<ModelState, { kind: 'ready' }> | null = null;

/** As the address says, for links to a device. */
export function firstChoice(): Choice {
  const asked = new URLSearchParams(location.search).get('device');
  const device = (['webgpu', 'wasm'] as const).find((name) => name === asked) ?? 'auto';
  return { name: 'demo model', source: demoModel, device };
}

export function cancelLoading(): void {
  loading?.abort();
}

/** The model that there was stays until the new one is ready, if it is small; a failed or cancelled load leaves it. */
export async function loadChoice(choice: Choice): Promise<void> {
  cancelLoading();
  stop();
  const mine = (loading = new AbortController());
  failure.set(null);
  if (modelState.value.kind === 'ready') kept = modelState.value;
  const { name, source, device, threads, token } = choice;
  modelState.set({ kind: 'loading', name, progress: null });
  announce(`Loading the ${name}.`);
  const options: LoadOptions = {
    device,
    threads,
    token,
    signal: mine.signal,
    onProgress(progress) {
      if (loading === mine) modelState.set({ kind: 'loading', name, progress });
    },
    onWarning() {
      if (modelState.value.kind === 'ready') void showDevice(modelState.value.model).catch(() => undefined);
    },
  };
  try {
    if (kept && (await kept.model.memory()).total > KEPT) await letGo();
    const model = await load(source, options);
    if (loading !== mine) return await model.dispose();
    modelState.set({ kind: 'ready', name, model });
    announce(`The ${name} is ready on ${model.info.backend.name}.`);
    await letGo();
  } catch (error) {
    // Another load took its place and keeps what there was.
    if (loading !== mine) return;
    modelState.set(kept ?? { kind: 'none' });
    kept = null;
    if (error instanceof AbortedError) announce('Loading was cancelled.');
    else failure.set(error);
  } finally {
    if (loading === mine) loading = null;
  }
}

async function letGo(): Promise<void> {
  const old = kept;
  kept = null;
  await old?.model.dispose();
}
