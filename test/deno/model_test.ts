/** For `deno test`: what an application does with `llava-sp` in Deno. */
import { equal, match, ok, rejects } from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { AbortedError, demoModel, load, parseBoxes } from 'llava-sp';

const scene = new URL('../../examples/images/scene.png', import.meta.url);
const WHERE = 'Where is the red star?';

Deno.test('a picture in every form that there is gives the same answer', async () => {
  await using model = await load(demoModel, { device: 'wasm', threads: 1 });
  const bytes = await Deno.readFile(scene);
  const data = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
  const forms = [scene, scene.pathname, bytes, bytes.buffer, new Blob([bytes]), data];
  const texts = await Promise.all(forms.map((form) => model.ask(form, WHERE).text()));
  equal(new Set(texts).size, 1);
  equal(parseBoxes(texts[0]).length, 1);
});

Deno.test('threads give the answer of one', async () => {
  const answers: string[] = [];
  for (const threads of [1, 2, 3]) {
    await using model = await load(demoModel, { device: 'wasm', threads });
    answers.push(await model.ask(scene, 'Describe the image.').text());
    equal(model.info.backend.threads, threads);
  }
  equal(new Set(answers).size, 1);
});

Deno.test('an answer streams, and ends at once when it is left', async () => {
  await using model = await load(demoModel, { device: 'wasm', threads: 1 });
  const answer = model.ask(scene, 'Describe the image.');
  const pieces: string[] = [];
  for await (const piece of answer) pieces.push(piece);
  ok(pieces.length > 3);
  equal(pieces.join(''), await answer.text());
  const left = model.ask(scene, 'Describe the image.');
  for await (const piece of left) {
    ok(piece);
    break;
  }
  await left.text();
  equal(left.finishReason, 'cancelled');
  const controller = new AbortController();
  const aborted = model.ask(scene, WHERE, { signal: controller.signal });
  controller.abort();
  await rejects(aborted.text(), AbortedError);
  match(await model.ask(scene, WHERE).text(), /^\[0/);
});

Deno.test('a model that is disposed of leaves no thread behind', async () => {
  const model = await load(demoModel, { device: 'wasm', threads: 2 });
  await model.dispose();
  // `deno test` itself fails on what is left open.
  await rejects(model.ask(scene, WHERE).text(), { code: 'MODEL_DISPOSED' });
});
