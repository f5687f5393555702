import { ArgumentError } from '../errors/index.ts';

/** Ends an answer at a stop string, wherever the borders between tokens fall. */
export interface StopMatcher {
  /**
   * The part of the text so far that can be shown: what may yet turn out to be the beginning of a stop string waits.
   * Once `stopped`, the stop string and everything after it are gone and further text is ignored.
   */
  push(text: string): { text: string; stopped: boolean };
  /** What still waited, when the answer ended by itself. */
  flush(): string;
}

const maxStops = 16;
const maxStopLength = 256;

/**
 * The stop string that is complete first wins (of two that end together, the longer), so the result does not depend
 * on how the text is cut into pieces.
 *
 * @throws {ArgumentError} `OPTION_INVALID` for an empty stop string, or too many or too long ones.
 */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  checkStops(stops);
  let held = '';
  let stopped = false;
  return {
    push(text) {
      if (stopped) return { text: '', stopped };
      held += text;
      const match = firstMatch(held, stops);
      if (match >= 0) {
        stopped = true;
        const shown = held.slice(0, match);
        held = '';
        return { text: shown, stopped };
      }
      const certain = held.length - longestOpening(held, stops);
      const shown = held.slice(0, certain);
      held = held.slice(certain);
      return { text: shown, stopped };
    },
    flush() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/**
 * @throws {ArgumentError} `OPTION_INVALID` for an empty stop string, or too many or too long ones.
 */
function checkStops(stops: readonly string[]): void {
  const valid = Array.isArray(stops) && stops.length <= maxStops;
  const usable =
    valid && stops.every((stop) => typeof stop === 'string' && stop !== '' && stop.length <= maxStopLength);
  if (!usable) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `Stop strings must be at most ${maxStops} strings of 1 to ${maxStopLength} characters.`,
      fix: 'Remove the empty stop string, or shorten the list.',
    });
  }
}

/** Where the stop string begins that is complete first, or -1. */
function firstMatch(text: string, stops: readonly string[]): number {
  let begin = -1;
  let end = Infinity;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at < 0) continue;
    const sooner = at + stop.length < end || (at + stop.length === end && at < begin);
    if (sooner) [begin, end] = [at, at + stop.length];
  }
  return begin;
}

/** The length of the longest end of `text` that begins a stop string. */
function longestOpening(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
