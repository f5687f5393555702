/** All that the parts of the page share. */
import type { Explanation, LoadProgress, Model } from 'llava-sp';
import { pictureOfDrawing, type Picture } from './picture.ts';
import { FIRST_DRAWING } from './scene/world.ts';
import { signal } from './signal.ts';

/** A box on the picture, in its pixels. */
export interface Mark {
  readonly box: readonly [number, number, number, number];
  readonly label: string;
  /** Which of the colours. */
  readonly colour: number;
}

export type ModelState =
  | { readonly kind: 'none' }
  | { readonly kind: 'loading'; readonly name: string; readonly progress: LoadProgress | null }
  | { readonly kind: 'ready'; readonly name: string; readonly model: Model };

/** What is drawn over the picture besides boxes. */
export interface Heat {
  readonly tile: Explanation['tiles'][number];
  /** Which spatial token. */
  readonly token: number;
  readonly opacity: number;
}

/** What a piece of work took, in milliseconds; left out where it does not apply. */
export interface Run {
  /** Of what, for people. */
  readonly name: string;
  /** 0: the picture was known already. */
  readonly vision?: number;
  readonly prefill?: number;
  readonly tokensPerSecond?: number;
  readonly total: number;
}

export const modelState = signal<ModelState>({ kind: 'none' });
export const picture = signal<Picture>(pictureOfDrawing(FIRST_DRAWING));
export const marks = signal<readonly Mark[]>([]);
/** Of the picture of now; `null` while the model has not looked at it. */
export const explanation = signal<Explanation | null>(null);
export const heat = signal<Heat | null>(null);
/** What is under way, as people call it; `null` when nothing is. */
export const busy = signal<string | null>(null);
export const lastRun = signal<Run | null>(null);
export const failure = signal<unknown>(null);

export type Tab = 'ask' | 'find' | 'heat';
export const tab = signal<Tab>('ask');

/** Shows another picture: what was found on the one before no longer holds. */
export function show(next: Picture): void {
  marks.set([]);
  explanation.set(null);
  heat.set(null);
  picture.set(next);
}
