// There is no import() in service workers: everything comes with them.
import { load } from '../../../packages/browser/dist/llava-sp.js';

self.addEventListener('message', (event) => {
  const { input, port } = event.data;
  event.waitUntil(
    answer(input).then(
      (value) => port.postMessage({ value }),
      ({ name, code, message, fix }) => port.postMessage({ error: { name, code, message, fix } }),
    ),
  );
});

async function answer({ source, image, prompt, options }) {
  const model = await load(source, options);
  try {
    const text = await model.ask(image, prompt).text();
    return { text, thread: model.info.choices.find(({ what }) => what === 'thread') };
  } finally {
    await model.dispose();
  }
}
