// `node scripts/testset-benchmark.mjs`: writes the questions of packages/demo-model/testset in the formats that `llava-sp eval` reads, beside
// questions.jsonl. npm run build comes before.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { paddedToSource } from '@llava-sp/node';
import { root } from './run.mjs';

const folder = join(root, 'packages/demo-model/testset');
const CATEGORIES = {
  count: 'count',
  colour: 'attribute',
  shape: 'attribute',
  size: 'attribute',
  relation_what: 'relation',
  relation_yes_no: 'left or right (yes/no)',
  describe: 'describe',
};
const PHRASES = {
  ground_attribute: 'attribute',
  ground_ordinal: 'ordinal',
  ground_relation: 'relation',
  where: 'attribute',
  where_absent: 'absent',
};

const rows = readFileSync(join(folder, 'questions.jsonl'), 'utf8').trim().split('\n').map(JSON.parse);
const lines = (list) => list.map((row) => `${JSON.stringify(row)}\n`).join('');
const question = ({ image, prompt }, i) => ({ question_id: i + 1, image, text: prompt });
const rounded = (value) => Math.round(value * 100) / 100;

const presence = rows
  .filter(({ task }) => task === 'exists')
  .map((row, i) => ({ ...question(row, i), label: row.answer.toLowerCase() }));
const vqa = rows
  .filter(({ task }) => task in CATEGORIES)
  .map((row, i) => ({ ...question(row, i), category: CATEGORIES[row.task], answer: row.answer }));
const captions = rows
  .filter(({ task }) => task === 'caption')
  .map((row, i) => ({ ...question(row, i), category: 'short', references: [row.answer] }));

const phrases = rows.filter(({ task }) => task in PHRASES);
const pictures = [...new Set(phrases.map(({ image }) => image))];
const images = pictures.map((image, i) => {
  const { width, height } = phrases.find((row) => row.image === image);
  return { id: i + 1, file_name: image, width, height };
});
const annotations = phrases.flatMap(({ image, box, width, height }, i) => {
  if (!box) return [];
  const [x1, y1, x2, y2] = paddedToSource(box, width, height);
  return [
    { id: i + 1, image_id: pictures.indexOf(image) + 1, bbox: [x1, y1, x2 - x1, y2 - y1].map(rounded) },
  ];
});
const refs = phrases.map(({ task, prompt, image, box }, i) => ({
  ref_id: i + 1,
  ann_id: box ? i + 1 : -1,
  ...(box ? {} : { no_target: true }),
  image_id: pictures.indexOf(image) + 1,
  split: 'val',
  category: PHRASES[task],
  sentences: [
    {
      sent_id: i + 1,
      sent: prompt.replace(/^.* describes: |^(?:where is|where's|find|locate) (?=the )|[?.]$/gi, ''),
    },
  ],
}));

const manifest = {
  name: 'coloured shapes',
  description: 'Sixty scenes of the demo model, which training never saw.',
  tasks: [
    { name: 'pope', metric: 'pope', questions: 'pope_random.jsonl' },
    { name: 'refcoco', metric: 'refcoco', questions: 'refcoco.json' },
    { name: 'vqa', metric: 'vqa', questions: 'vqa.jsonl' },
    { name: 'captions', metric: 'caption', questions: 'captions.jsonl' },
  ],
};
writeFileSync(join(folder, 'pope_random.jsonl'), lines(presence));
writeFileSync(join(folder, 'vqa.jsonl'), lines(vqa));
writeFileSync(join(folder, 'captions.jsonl'), lines(captions));
writeFileSync(join(folder, 'refcoco.json'), `${JSON.stringify({ images, annotations, refs })}\n`);
writeFileSync(join(folder, 'benchmark.json'), `${JSON.stringify(manifest, null, 2)}\n`);
