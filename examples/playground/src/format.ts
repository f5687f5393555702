/** Figures for people. */

export function bytes(count: number): string {
  if (count < 1e3) return `${count} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(0)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(1)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

export function milliseconds(count: number): string {
  if (count < 10) return `${count.toFixed(1)} ms`;
  if (count < 1e4) return `${count.toFixed(0)} ms`;
  return `${(count / 1e3).toFixed(1)} s`;
}

/** A time to wait, as `2 min 5 s`. */
export function seconds(count: number): string {
  const whole = Math.max(0, Math.round(count));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
