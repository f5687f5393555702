import type { Backend } from '../backend/index.ts';
import { openSource } from '../download/index.ts';
import type { ModelSource } from '../download/source.ts';
import { LoadError, throwIfAborted } from '../errors/index.ts';
import type { Host, ModelFiles } from '../host.ts';
import { parsePreprocessor } from '../image/preprocess.ts';
import { parseModelConfig, type ModelConfig } from '../models/config.ts';
import { mostTiles, visualTokenRange } from '../models/visual.ts';
import type { Instance } from '../pipeline/instance.ts';
import { checkPrompt, promptOf } from '../pipeline/prompt.ts';
import { checkPreprocessor } from '../pipeline/picture.ts';
import { Runtime } from '../pipeline/runtime.ts';
import { createChatTemplate } from '../text/chat.ts';
import { createTokenizer } from '../text/tokenizer.ts';
import { LocalEngine } from './local.ts';
import { Model } from './model.ts';
import { withContext } from './context.ts';
import { checkLoadOptions, type LoadOptions } from './options.ts';
import { startDevice, type ReportProgress, type Started } from './start.ts';
import { Warnings } from './warnings.ts';

/** Of the progress, when a model is downloaded. */
const DOWNLOAD_SHARE = 0.8;

/** Far more than any tokenizer's file has. */
const MAX_TEXT_BYTES = 200 << 20;

/**
 * Loads a model folder (specification section 9) and makes it ready to answer. A remote one is downloaded first, unless the
 * cache has it.
 *
 * @param host the runtime's adapter.
 * @param source a folder by path or address, a hub's model, or files.
 * @throws LoadError, UnsupportedError, ArgumentError, DeviceError; AbortedError when the signal is aborted. Nothing stays
 *   behind after an error: threads are stopped and files closed.
 */
export async function loadModel(host: Host, source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  return new Model(await loadEngine(host, source, options));
}

/** {@link loadModel} without the API around it. `wrap`: what the model is to run on, made of the device's own backend. */
export async function loadEngine(
  host: Host,
  source: ModelSource,
  options: LoadOptions = {},
  wrap: (backend: Backend) => Backend = (backend) => backend,
): Promise<LocalEngine> {
  checkLoadOptions(source, options);
  const { signal, onProgress } = options;
  const began = performance.now();
  const warnings = new Warnings(options.onWarning);
  let downloaded = 0;
  let report: ReportProgress = (phase, fraction, loaded = 0, total = 0) =>
    onProgress?.({ phase, fraction: downloaded + (1 - downloaded) * fraction, loaded, total });

  throwIfAborted(signal);
  report('files', 0);
  const files = await openSource(host, source, {
    ...options,
    onProgress: ({ loaded, total, rate, secondsLeft }) => {
      // It takes far longer than all else.
      downloaded = total > 0 ? (DOWNLOAD_SHARE * loaded) / total : 0;
      onProgress?.({ phase: 'download', fraction: downloaded, loaded, total, rate, secondsLeft });
    },
    onStale: (message) => warnings.add({ code: 'MODEL_NOT_REVALIDATED', message }),
    onUncached: (message) => warnings.add({ code: 'MODEL_NOT_CACHED', message }),
  });
  const stored = parseModelConfig(await readJson(files, 'config.json', signal));
  const config = withContext(stored, options.context);
  const preprocessor = parsePreprocessor(await readJson(files, 'preprocessor_config.json', signal));
  checkPreprocessor(config, preprocessor);
  const tokenizerConfig = await readTokenizerConfig(files, signal);
  const tokenizer = createTokenizer(await readJson(files, 'tokenizer.json', signal), tokenizerConfig);
  const template = createChatTemplate(tokenizerConfig, tokenizer, config.imageToken);
  const parts = { config, tokenizer, template };
  checkPrompt(config, promptOf(parts, '?'));

  let current: Started | null = null;
  const { threads, kernels, precision } = options;
  let { gpu, device = 'auto' } = options;
  if (gpu) device = 'webgpu';
  const start = async (stop: AbortSignal | undefined): Promise<Instance> => {
    // Questions may have been checked against the context of the device before.
    const keepContext = options.context !== undefined || current !== null;
    const backend = { threads, variant: kernels, precision, gpu, keepContext };
    // The caller's device is used once: when it is lost, one of our own takes its place.
    gpu = undefined;
    current = await startDevice(host, files, parts, device, backend, report, wrap, stop);
    // Loading is over: later starts replace a lost device, and nobody watches those.
    report = () => undefined;
    for (const warning of current.warnings) warnings.addOnce(warning);
    return current.instance;
  };
  const runtime = new Runtime({ ...parts, preprocessor, start, warn: (warning) => warnings.add(warning) });
  await runtime.begin(signal);

  const facts = {
    name: nameOf(config),
    location: files.location,
    config,
    visualTokens: visualTokenRange(config).most,
    tiles: mostTiles(config),
    loadTime: performance.now() - began,
  };
  return new LocalEngine(host, runtime, () => {
    if (!current) throw new Error('a model has a device');
    const { report: backend, weights } = current;
    const choices = [...current.choices, ...(host.choices ?? [])];
    return { ...facts, weights, backend, choices, warnings: warnings.all };
  });
}

/** The family, by what makes it one, and the variant. */
function nameOf({ spatial, tiling, vision }: ModelConfig): string {
  const intern = vision.type === 'intern_vit';
  const plain = intern ? 'InternVL' : tiling ? 'LLaVA-1.6' : 'LLaVA-1.5';
  if (!spatial) return plain;
  const variant = spatial.type === 'cropping' ? 'Cropping' : 'Pooling';
  return intern || tiling ? `${plain}-SP-${variant}` : `LLaVA-SP-${variant}`;
}

/**
 * `tokenizer_config.json`, with the chat template that Hugging Face's newer releases write beside it: in `chat_template.jinja`
 * or `chat_template.json`.
 */
async function readTokenizerConfig(files: ModelFiles, signal?: AbortSignal): Promise<unknown> {
  const config = await readJson(files, 'tokenizer_config.json', signal);
  if (typeof config !== 'object' || !config || ('chat_template' in config && config.chat_template))
    return config;
  if (await files.has('chat_template.jinja')) {
    return { ...config, chat_template: await readText(files, 'chat_template.jinja', signal) };
  }
  if (!(await files.has('chat_template.json'))) return config;
  const beside = (await readJson(files, 'chat_template.json', signal)) as { chat_template?: unknown } | null;
  return { ...config, chat_template: beside?.chat_template };
}

async function readJson(files: ModelFiles, name: string, signal?: AbortSignal): Promise<unknown> {
  const text = await readText(files, name, signal);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable(name, 'it is not JSON', cause);
  }
}

async function readText(files: ModelFiles, name: string, signal?: AbortSignal): Promise<string> {
  const source = await files.open(name);
  try {
    if (source.size > MAX_TEXT_BYTES) throw unreadable(name, `it has ${source.size} bytes`);
    const bytes = await source.read(0, source.size, signal);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw unreadable(name, 'it is not UTF-8', cause);
    }
  } finally {
    await source.close();
  }
}

function unreadable(name: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: /^(tokenizer|chat_template)/.test(name) ? 'TOKENIZER_INVALID' : 'CONFIG_INVALID',
    message: `${name} can't be used: ${what}.`,
    fix: 'Download or convert the model again.',
    cause,
  });
}
