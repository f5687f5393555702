/** Says what is in the image that the address names: with a model and code from the extension's own folder alone. */
import { load } from './llava-sp.js';

/** The model lies in the extension: its files are read where they are, and no copy is kept. */
const MODEL = [
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'preprocessor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
];

const output = document.querySelector('#answer');
const status = document.querySelector('[role=status]');

try {
  const address = new URLSearchParams(location.search).get('image');
  // The extension may read images of every page; the page itself may not read those of others.
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The image can't be fetched: status ${response.status}.`);
  const image = await response.blob();
  document.querySelector('img').src = URL.createObjectURL(image);
  const model = await load(
    Object.fromEntries(MODEL.map((name) => [name, new URL(`model/${name}`, location.href)])),
  );
  const answer = model.caption(image, { length: 'detailed' });
  for await (const piece of answer) output.textContent += piece;
  status.textContent = `${model.info.name} on ${model.info.backend.name}, ${Math.round(answer.timings.total)} ms`;
} catch (error) {
  status.textContent = `${error.message} ${error.fix ?? ''}`;
}
