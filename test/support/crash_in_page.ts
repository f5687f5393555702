/** For `openChromium`: an answer on WebGPU whose device is lost halfway, by a crash of the browser's GPU process. */
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Warning } from '../../packages/core/src/index.ts';
import { browserHost } from './browser_host.ts';

export interface Crashed {
  /** Undisturbed, through the crash, and after it. */
  texts: string[];
  /** Pieces that had come when the crash was asked for, of all. */
  before: number;
  pieces: number;
  backend: string;
  warnings: readonly Warning[];
}

/** Set when the GPU process may crash; the test sets `crashed` once it has. */
const flags = globalThis as { crashNow?: boolean; crashed?: boolean };

export default async function run({ model: source }: { model: string }): Promise<Crashed> {
  const model = await loadModel(browserHost, source, { device: 'webgpu' });
  try {
    const image = {
      data: Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 37) % 251),
      width: 40,
      height: 30,
    };
    const ask = () => model.ask(image, 'What is in the picture?', { maxTokens: 48 });
    const texts = [await ask().text()];
    const pieces: string[] = [];
    let before = 0;
    for await (const piece of ask()) {
      pieces.push(piece);
      if (before || pieces.length < 4) continue;
      before = pieces.length;
      flags.crashNow = true;
      // The device is only some steps ahead of what is taken: most of the answer is still to come.
      while (!flags.crashed) await new Promise((done) => setTimeout(done, 20));
    }
    texts.push(pieces.join(''), await ask().text());
    const { backend, warnings } = model.info;
    return { texts, before, pieces: pieces.length, backend: backend.name, warnings };
  } finally {
    await model.dispose();
  }
}
