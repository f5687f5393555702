/** `e^(s - max) / sum`, in place. */
export function softmax(scores: Float64Array): void {
  let largest = -Infinity;
  for (const s of scores) largest = Math.max(largest, s);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - largest);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
}
