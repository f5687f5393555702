// `dist` is copied here by the test. The model comes from the tests' server.
import { load } from './dist/llava-sp.js';

globalThis.answer = async ({ source, image, prompt }) => {
  const model = await load(source, { device: 'wasm' });
  const text = await model.ask(image, prompt).text();
  await model.dispose();
  return text;
};
