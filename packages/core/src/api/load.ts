import { createBackend } from '../backends/index.ts';
import { LoadError, throwIfAborted } from '../errors/index.ts';
import type { Host, ModelFiles } from '../host.ts';
import { parsePreprocessor } from '../image/preprocess.ts';
import { parseModelConfig, type ModelConfig } from '../models/config.ts';
import { visualTokenCount } from '../models/registry.ts';
import { loadWeights } from '../pipeline/load_weights.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../pipeline/programs.ts';
import { checkPrompt, promptOf } from '../pipeline/prompt.ts';
import { pixelsOf, Runtime } from '../pipeline/runtime.ts';
import { createChatTemplate } from '../text/chat.ts';
import { createTokenizer } from '../text/tokenizer.ts';
import { openWeights } from '../weights/store.ts';
import { Model } from './model.ts';
import { checkLoadOptions, withContext, type LoadOptions, type LoadProgress } from './options.ts';

/** Far more than any tokenizer's file has. */
const MAX_JSON_BYTES = 200 << 20;

/**
 * Loads a model folder (specification section 9) and makes it ready to answer.
 *
 * @param host the runtime's adapter.
 * @param source a folder by path or URL.
 * @throws LoadError, UnsupportedError, ArgumentError, DeviceError; AbortedError when the signal is aborted. Nothing stays
 *   behind after an error: threads are stopped and files closed.
 */
export async function loadModel(host: Host, source: string | URL, options: LoadOptions = {}): Promise<Model> {
  checkLoadOptions(source, options);
  const { signal, onProgress } = options;
  const start = performance.now();
  const report = (phase: LoadProgress['phase'], fraction: number, loaded = 0, total = 0): void =>
    onProgress?.({ phase, fraction, loaded, total });

  throwIfAborted(signal);
  report('files', 0);
  const files = await host.openModel(source, signal);
  const stored = parseModelConfig(await readJson(files, 'config.json', signal));
  const config = withContext(stored, options.context);
  const preprocessor = parsePreprocessor(await readJson(files, 'preprocessor_config.json', signal));
  // A first picture, so that a wrong size is found now and not when somebody asks.
  pixelsOf(config, preprocessor, { data: new Uint8Array(3), width: 1, height: 1, channels: 3 });
  const tokenizerConfig = await readJson(files, 'tokenizer_config.json', signal);
  const tokenizer = createTokenizer(await readJson(files, 'tokenizer.json', signal), tokenizerConfig);
  const template = createChatTemplate(tokenizerConfig, tokenizer, config.imageToken);
  checkPrompt(config, promptOf({ config, tokenizer, template }, '?'));
  const store = await openWeights(files, signal);
  try {
    report('device', 0.05);
    const { device = 'auto', threads, kernels } = options;
    const { backend, refusals } = await createBackend(host, device, { threads, variant: kernels });
    try {
      // One program of each kind names every weight and cache there is.
      const programs = [visionProgram(config), prefixProgram(config, 1), tokensProgram(config, 1)];
      const weights = await loadWeights(
        backend,
        store,
        config,
        programs,
        (loaded, total) => report('weights', 0.1 + (0.8 * loaded) / Math.max(total, 1), loaded, total),
        signal,
      );
      report('compile', 0.9);
      throwIfAborted(signal);
      await backend.createCache(programs[2].caches);
      const runtime = new Runtime({ backend, config, preprocessor, tokenizer, template });
      await runtime.warmUp();
      throwIfAborted(signal);
      report('ready', 1);
      return new Model(host, runtime, {
        name: nameOf(config),
        location: files.location,
        config,
        visualTokens: visualTokenCount(config),
        weights,
        backend: backend.report,
        choices: [...refusals, ...backend.report.choices],
        loadTime: performance.now() - start,
      });
    } catch (error) {
      await backend.dispose();
      throw error;
    }
  } finally {
    await store.close();
  }
}

function nameOf({ spatial }: ModelConfig): string {
  if (!spatial) return 'LLaVA-1.5';
  return spatial.type === 'cropping' ? 'LLaVA-SP-Cropping' : 'LLaVA-SP-Pooling';
}

async function readJson(files: ModelFiles, name: string, signal?: AbortSignal): Promise<unknown> {
  const source = await files.open(name);
  try {
    if (source.size > MAX_JSON_BYTES) throw unreadable(name, `it has ${source.size} bytes`);
    const bytes = await source.read(0, source.size, signal);
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (cause) {
      throw unreadable(name, 'it is not JSON', cause);
    }
  } finally {
    await source.close();
  }
}

function unreadable(name: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: name.startsWith('tokenizer') ? 'TOKENIZER_INVALID' : 'CONFIG_INVALID',
    message: `${name} can't be used: ${what}.`,
    fix: 'Download or convert the model again.',
    cause,
  });
}
