import type { Fields } from '../fields.ts';
import type { TasksConfig, VisionConfig } from './types.ts';

/** What the families were trained to be asked (specification section 7, and their published conversations). */
const families: Readonly<Record<'llava' | 'intern_vl', TasksConfig>> = {
  llava: {
    boxes: 'unit',
    ground: 'Please provide the bounding box coordinate of the region this sentence describes: {phrase}',
    describe: 'Please provide a short description for this region: {box}',
    caption: {
      short: 'Provide a one-sentence caption for the provided image.',
      detailed: 'Describe this image in detail.',
    },
  },
  intern_vl: {
    boxes: 'thousandths',
    ground:
      'Please provide the bounding box coordinate of the region this sentence describes: <ref>{phrase}</ref>',
    describe: 'Please provide a short description for this region: {box}',
    caption: {
      short: 'Please describe the image shortly.',
      detailed: 'Please describe the image in detail.',
    },
  },
};

/** `task_prompts`; what it leaves out has the words of the model's family. */
export function parseTasks(config: Fields, { type }: VisionConfig): TasksConfig {
  const family = families[type === 'intern_vit' ? 'intern_vl' : 'llava'];
  if (!config.has('task_prompts')) return family;
  const prompts = config.fields('task_prompts');
  const text = (fields: Fields, key: string, fallback: string, place: string): string => {
    if (!fields.has(key)) return fallback;
    const found = fields.string(key);
    if (found.includes(place) && found.trim() !== '') return found;
    throw fields.error(key, place === '' ? 'some text' : `a text with ${place} in it`);
  };
  const caption = prompts.has('caption') ? prompts.fields('caption') : null;
  return {
    boxes: family.boxes,
    ground: text(prompts, 'ground', family.ground, '{phrase}'),
    describe: text(prompts, 'describe', family.describe, '{box}'),
    caption: caption
      ? {
          short: text(caption, 'short', family.caption.short, ''),
          detailed: text(caption, 'detailed', family.caption.detailed, ''),
        }
      : family.caption,
  };
}
