import type { Box } from '@llava-sp/node';
import type { Figures } from '../types.ts';
import { meanOf } from './interval.ts';

/** Area of the intersection over area of the union, 0..1. */
export function iou(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]);
  return (width * height) / (area - width * height);
}

/** Boxes of one phrase, in pixels of the source: those found, and the true ones, none where the thing is not there. */
export interface Grounded {
  readonly found: readonly Box[];
  readonly truth: readonly Box[];
}

/** The first box found against the best of the true ones. */
export function bestIou({ found, truth }: Grounded): number {
  return found.length === 0 ? 0 : Math.max(0, ...truth.map((box) => iou(found[0], box)));
}

/** 1: IoU of at least 0.5, or nothing found of what is not there. */
export function groundedRight(phrase: Grounded): number {
  const right = phrase.truth.length === 0 ? phrase.found.length === 0 : bestIou(phrase) >= 0.5;
  return right ? 1 : 0;
}

/** RefCOCO's figures over the phrases of what is there, and of the others the share where no box was given (gRefCOCO's N-acc). */
export function refcocoFigures(phrases: readonly Grounded[]): Figures {
  const present = phrases.filter(({ truth }) => truth.length > 0);
  const absent = phrases.filter(({ truth }) => truth.length === 0);
  const ious = present.map(bestIou);
  const at = (threshold: number) => meanOf(ious.map((value) => (value >= threshold ? 1 : 0)));
  const { value, n } = meanOf(ious);
  return {
    ...(present.length > 0
      ? { 'IoU >= 0.5': at(0.5), 'IoU >= 0.7': at(0.7), 'IoU >= 0.9': at(0.9), 'mean IoU': { value, n } }
      : {}),
    ...(absent.length > 0 ? { 'not there': meanOf(absent.map(groundedRight)) } : {}),
  };
}
