/** A server in this process, on the demo model, and what its tests ask it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type Model } from '@llava-sp/node';
import OpenAI from 'openai';
import { Service, type ServeOptions } from '../../packages/llava-sp/src/serve/server.ts';
import { questionsByPicture } from '../support/demo_set.ts';

export const MODEL = 'llava-sp-demo';

export const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** One thread: the suite runs beside others. */
export function loadDemo(): Promise<Model> {
  return load(modelUrl, { device: 'wasm', threads: 1 });
}

export function startService(
  model: Pick<Model, 'ask'>,
  options: Partial<ServeOptions> = {},
): Promise<Service> {
  return Service.start(model, {
    host: '127.0.0.1',
    port: 0,
    name: MODEL,
    maxQueue: 32,
    maxBody: 1_000_000,
    remoteImages: 'none',
    ...options,
  });
}

/** The official client; it does not try again unless a test wants it to. */
export function clientOf(service: Service, apiKey = 'any', maxRetries = 0): OpenAI {
  return new OpenAI({ baseURL: service.url, apiKey, maxRetries });
}

export interface Asked {
  readonly image: Buffer;
  readonly question: string;
}

/** Sixty questions on twelve unseen scenes, in JPEG files. */
export async function readQuestions(): Promise<Asked[]> {
  const pictures = (await questionsByPicture()).slice(0, 12);
  return pictures
    .flatMap((asked) => asked.slice(0, 5))
    .map(({ image, prompt }) => ({ image: readFileSync(image), question: prompt }));
}

export const scene = readFileSync(at('examples/images/scene.png'));

export function dataUrl(image: Buffer, type = 'image/png'): string {
  return `data:${type};base64,${image.toString('base64')}`;
}

export type Messages = OpenAI.ChatCompletionMessageParam[];

export function about(image: Buffer, question: string, type?: string): Messages {
  return [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: dataUrl(image, type) } },
        { type: 'text', text: question },
      ],
    },
  ];
}

/** A question whose picture is not there before `release` is called: until then all others wait behind it. */
export function occupy(model: Model): { release: () => void; done: Promise<string> } {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  class Held extends Blob {
    override async arrayBuffer(): Promise<ArrayBuffer> {
      await held;
      return super.arrayBuffer();
    }
  }
  const done = model.ask(new Held([scene]), 'Where is the red star?').text();
  return { release, done };
}

/** Waits until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error('it was not so within 10 s');
    await new Promise((done) => setTimeout(done, 5));
  }
}
