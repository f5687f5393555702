/** For `openChromium`: answers by WebGL and by WASM in one page, which forbids `eval`. */
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { AskInput, Asked } from './ask_all.ts';
import { settingsKey } from '../../packages/core/src/backends/webgl/open.ts';
import { webglHost } from './webgl_host.ts';

export interface WebGlInput extends AskInput {
  /** Loses the WebGL context before each question of these numbers. */
  lose?: readonly number[];
  /** From here on no context has memory left. */
  exhausted?: boolean;
  /** What the host remembers of WebGL against WASM on what draws here. */
  remembered?: string;
  /** No build of the WASM kernels is there. */
  noWasm?: boolean;
}

export interface WebGlAsked extends Pick<Asked, 'texts' | 'backend' | 'choices' | 'warnings'> {
  /** Milliseconds of each picture's vision. */
  vision: number[];
  /** Whether code can be made of text in this page. */
  evaluates: boolean;
  /** Textures that are there after each answer. */
  textures: number[];
  /** Of the model. */
  weightBytes: number;
  /** Whether the library stayed behind where WebGPU has its interface. */
  leaves: boolean;
}

// As in a browser without WebGPU: the script of gpu.js stumbles there when nobody catches it.
Reflect.deleteProperty(globalThis, 'GPU');

const contexts: WebGL2RenderingContext[] = [];
const getContext = Reflect.get(HTMLCanvasElement.prototype, 'getContext') as (...args: unknown[]) => unknown;
HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, ...args: unknown[]) {
  const context = Reflect.apply(getContext, this, args);
  if (context instanceof WebGL2RenderingContext) contexts.push(context);
  return context;
} as HTMLCanvasElement['getContext'];

function contextsLeft(): number {
  return contexts.filter((context) => !context.isContextLost()).length;
}

let textures = 0;
count('createTexture', 1);
count('deleteTexture', -1);

/** Counts calls of a method of all contexts. */
function count(name: 'createTexture' | 'deleteTexture', step: number): void {
  const method = Reflect.get(WebGL2RenderingContext.prototype, name) as (...args: unknown[]) => unknown;
  WebGL2RenderingContext.prototype[name] = function (this: WebGL2RenderingContext, ...args: unknown[]) {
    textures += step;
    return Reflect.apply(method, this, args) as WebGLTexture;
  };
}

export default async function run({
  model: source,
  options,
  questions,
  lose = [],
  remembered,
  noWasm = false,
  exhausted = false,
}: WebGlInput): Promise<WebGlAsked> {
  const policy = document.createElement('meta');
  policy.httpEquiv = 'Content-Security-Policy';
  policy.content = "script-src 'self' 'wasm-unsafe-eval'";
  document.head.append(policy);
  const { prototype } = WebGL2RenderingContext;
  if (exhausted) prototype.getError = () => prototype.OUT_OF_MEMORY;
  const renderer = webglHost.webGlRenderer?.() ?? '';
  if (remembered !== undefined) await webglHost.settings.set(settingsKey(renderer), remembered);
  const host = noWasm
    ? { ...webglHost, readKernels: () => Promise.reject(new Error('no build')) }
    : webglHost;
  const model = await loadModel(host, source, options).catch((error: unknown) => {
    throw new Error(`${String(error)}; contexts left: ${contextsLeft()}`);
  });
  try {
    const asked: WebGlAsked = {
      texts: [],
      backend: model.info.backend,
      choices: model.info.choices,
      warnings: [],
      vision: [],
      textures: [],
      evaluates: evaluates(),
      weightBytes: (await model.memory()).weights,
      leaves: 'GPU' in globalThis,
    };
    for (const [i, { image, prompt }] of questions.entries()) {
      if (lose.includes(i)) contexts.at(-1)?.getExtension('WEBGL_lose_context')?.loseContext();
      const answer = model.ask(image, prompt);
      asked.texts.push(await answer.text());
      asked.vision.push(answer.timings.vision);
      asked.textures.push(textures);
    }
    return { ...asked, warnings: model.info.warnings };
  } finally {
    await model.dispose();
  }
}

function evaluates(): boolean {
  try {
    Reflect.construct(Function, ['return true']);
    return true;
  } catch {
    return false;
  }
}
