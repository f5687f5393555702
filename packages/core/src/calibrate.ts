/**
 * A model whose products' inputs are heard, for converters that choose codes by them.
 *
 * @module @llava-sp/core/calibrate
 */
import { loadEngine } from './api/load.ts';
import { Model } from './api/model.ts';
import type { LoadOptions } from './api/options.ts';
import { listening, type Hear } from './backend/listening.ts';
import type { ModelSource } from './download/source.ts';
import type { Host } from './host.ts';

export type { Hear } from './backend/listening.ts';

/** What is heard, beside how the model is loaded. */
export interface ListenOptions extends Pick<LoadOptions, 'threads' | 'signal'> {
  /** Gets the inputs. */
  readonly hear: Hear;
  /** Products with longer rows are not heard. */
  readonly most: number;
}

/**
 * Loads a model on WASM; all that it is asked is heard.
 *
 * @throws what `load` throws.
 */
export async function loadListening(
  host: Host,
  source: ModelSource,
  { hear, most, ...options }: ListenOptions,
): Promise<Model> {
  const wrap: Parameters<typeof loadEngine>[3] = (backend) => listening(backend, hear, most);
  return new Model(await loadEngine(host, source, { ...options, device: 'wasm' }, wrap));
}
