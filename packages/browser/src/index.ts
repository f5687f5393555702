/** LLaVA-SP in browsers: where downloaded models are kept. */
import { createCache, type ModelCache } from '@llava-sp/core';
import { browserStore } from './store.ts';

export { browserStore } from './store.ts';

/** The models that pages of this origin have downloaded. */
export const cache: ModelCache = createCache(browserStore);
