/** For `openChromium`: the built package of browsers, in a worker of its own, by WebGL. */
import type { load as Load } from '../../packages/browser/src/index.ts';

export interface BuiltInput {
  /** Address of the built module. */
  readonly module: string;
  readonly model: string;
  readonly gpuJs?: string;
  readonly image: string;
  readonly prompt: string;
}

export interface BuiltAnswer {
  readonly backend: string;
  readonly thread: string | undefined;
  readonly text: string;
  readonly error?: {
    readonly name: string;
    readonly code: unknown;
    readonly message: string;
    readonly fix: unknown;
  };
}

export default async function run({
  module,
  model: source,
  gpuJs,
  image,
  prompt,
}: BuiltInput): Promise<BuiltAnswer> {
  const { load } = (await import(module)) as { load: typeof Load };
  try {
    const model = await load(source, { device: 'webgl', gpuJs });
    const text = await model.ask(image, prompt).text();
    const { backend, choices } = model.info;
    await model.dispose();
    return { backend: backend.name, thread: choices.find(({ what }) => what === 'thread')?.chosen, text };
  } catch (cause) {
    const { name, code, message, fix } = cause as Required<BuiltAnswer>['error'];
    return { backend: '', thread: undefined, text: '', error: { name, code, message, fix } };
  }
}
