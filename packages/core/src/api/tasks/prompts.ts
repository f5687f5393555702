import { formatBox, formatThousandths, sourceToInput, type Box, type Geometry } from '../../image/boxes.ts';
import type { TasksConfig } from '../../models/config.ts';
import type { Prompt } from '../../pipeline/prompt.ts';
import type { ContentPart } from '../../text/chat.ts';

/** Boxes of a lower score are left out by default; see test/bench/results/ground-demo.json for what that costs and gains. */
export const GROUND_THRESHOLD = 0.05;

/** Asks where something is. */
export function groundPrompt({ ground }: TasksConfig, phrase: string): Prompt {
  const bare = /\bthe \{phrase\}/i.test(ground)
    ? phrase.trim().replace(/^(?:the|an?)\s+/i, '')
    : phrase.trim();
  return fill(ground, '{phrase}', bare);
}

/** Asks what is in a box of source pixels. */
export function describePrompt(tasks: TasksConfig, box: Box, geometry: Geometry): Prompt {
  const [x1, y1, x2, y2] = sourceToInput(box, geometry).map((v) => Math.min(Math.max(v, 0), 1));
  const inside: Box = [x1, y1, x2, y2];
  if (tasks.boxes === 'unit') return fill(tasks.describe, '{box}', formatBox(inside));
  const text = formatThousandths(inside);
  // Its tags are the model's own tokens.
  return fill(tasks.describe.replace('{box}', '<box>{box}</box>'), '{box}', text.slice(5, -6));
}

/** A prompt with its place filled. InternVL's tags in the prompt are its tokens; those that the filling spells are not. */
function fill(prompt: string, place: string, filling: string): Prompt {
  const content = prompt.split(/(<\/?(?:ref|box)>)/).map((text): ContentPart => {
    if (/^<\/?(?:ref|box)>$/.test(text)) return { type: 'special', text };
    return { type: 'text', text: text.replace(place, () => filling) };
  });
  if (content.length === 1) return content[0].type === 'text' ? content[0].text : '';
  return [{ role: 'user', content }];
}
