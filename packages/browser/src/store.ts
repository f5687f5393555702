import type { ModelStore } from '@llava-sp/core';
import { opfsStore } from './opfs.ts';

export const browserStore: ModelStore = opfsStore;
