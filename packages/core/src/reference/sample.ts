import type { Sampling } from '../backend/index.ts';

/**
 * The chance of every token by the plain definition, in Hugging Face's order: repetition penalty on the ids in `seen`,
 * temperature, top-k with those as likely as the last, top-p (the fewest from the most likely down, of equal ones the lower
 * id first), min-p. Temperature 0: the most likely alone, of equal ones the lower id.
 */
export function distribution(
  logits: ArrayLike<number>,
  seen: ReadonlySet<number>,
  { temperature, topK, topP, minP, repetitionPenalty }: Sampling,
): Float64Array {
  const scores = Float64Array.from(logits, (logit, id) => {
    if (!seen.has(id)) return logit;
    return logit < 0 ? logit * repetitionPenalty : logit / repetitionPenalty;
  });
  const chances = new Float64Array(scores.length);
  const byScore = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
  const [best] = byScore;
  if (temperature === 0) {
    chances[best] = 1;
    return chances;
  }
  const weight = (id: number): number => Math.exp((scores[id] - scores[best]) / temperature);
  const last = scores[byScore[Math.min(topK > 0 ? topK : Infinity, byScore.length) - 1]];
  let kept = byScore.filter((id) => scores[id] >= last);
  if (topP < 1) {
    const total = kept.reduce((sum, id) => sum + weight(id), 0);
    let mass = 0;
    kept = kept.filter((id) => {
      const wanted = mass < topP * total;
      mass += weight(id);
      return wanted;
    });
  }
  kept = kept.filter((id) => weight(id) >= minP);
  const total = kept.reduce((sum, id) => sum + weight(id), 0);
  for (const id of kept) chances[id] = weight(id) / total;
  return chances;
}
