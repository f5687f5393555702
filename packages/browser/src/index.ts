/** LLaVA-SP in browsers: where downloaded models are kept. */
import { createCache, type ModelCache } from '@llava-sp/core';
import { browserStore } from './opfs.ts';

export { browserStore } from './opfs.ts';

/** The models that pages of this origin have downloaded. */
export const cache: ModelCache = createCache(browserStore);
