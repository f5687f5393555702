import { createHash } from 'node:crypto';
import type { Item } from './types.ts';

/**
 * At most `limit` questions, drawn by a seed and left in their order. A larger limit keeps those of a smaller one, so that a limited
 * run can be gone on with. The questions of a pair stay together.
 */
export function sampleOf(items: readonly Item[], limit: number, seed: number): Item[] {
  const units = new Map<string, number[]>();
  for (const [i, { truth }] of items.entries()) {
    const unit = truth.kind === 'pair' ? `pair ${truth.pair}` : `question ${i}`;
    units.set(unit, [...(units.get(unit) ?? []), i]);
  }
  const drawn = [...units]
    .map(([unit, indices]) => ({ order: digestOf(`${seed} ${unit}`), indices }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  const kept = new Set<number>();
  for (const { indices } of drawn) {
    if (kept.size + indices.length > limit) break;
    for (const i of indices) kept.add(i);
  }
  return items.filter((_, i) => kept.has(i));
}

/** SHA-256, in hexadecimal. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
