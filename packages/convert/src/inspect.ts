import { ArgumentError, LlavaSpError, nodeHost, type ErrorCode, type ModelFiles } from '@llava-sp/node';
import { parseModelConfig, type DType, type ModelConfig } from '@llava-sp/core/formats';
import { parts, type Part, type Plan } from './contract.ts';
import { isOnDevice } from './layouts/described.ts';
import { Located } from './layouts/located.ts';
import { languageRoot, projectorRoot, spatialRoot, visionRoot } from './layouts/names.ts';
import { largestMap, spatialFacts, spatialName } from './layouts/spatial.ts';
import { openPlan } from './plan.ts';
import { isAdapter, openAdapter, openCheckpoint, openFiles, readJson } from './sources/checkpoint.ts';
import { product, type PublishedTensor } from './sources/tensors.ts';
import { checkQuantisation, place } from './write/layout.ts';

/** What belongs to the folder that is inspected. */
export interface InspectOptions {
  /** The language model that a LoRA folder is trained on. */
  readonly base?: string | URL;
  /** The vision tower, when the checkpoint does not hold it. */
  readonly visionTower?: string | URL;
  /** In tokens; the model's own by default. */
  readonly context?: number;
  /** Stops the work at once: `AbortedError`. */
  readonly signal?: AbortSignal;
}

/** A tensor of the files. */
export interface InspectedTensor {
  /** As the file spells it. */
  readonly name: string;
  /** Of its elements. */
  readonly dtype: DType;
  /** Row-major; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** As stored. */
  readonly bytes: number;
  /** The file that holds it. */
  readonly file: string;
}

/** `stored`: as the folder has it, for a model that is on-device already. `default`: as `convert` writes it by itself. */
export type Storing = 'stored' | 'default' | 'q4' | 'q8' | 'f16';

/** Bytes, by how the matrices are stored. */
export type Sizes = Readonly<Partial<Record<Storing, number>>>;

/** What a part of the model would take on a device. */
export interface InspectedPart {
  /** Which one. */
  readonly part: Part;
  /** How many numbers. */
  readonly weights: number;
  /** By how it is stored. */
  readonly bytes: Sizes;
}

/** What a model needs on a device. */
export interface DeviceNeeds {
  /** All parts. */
  readonly weights: Sizes;
  /** In tokens. */
  readonly context: number;
  /** Keys and values of the whole context, in float32; in bytes. */
  readonly cache: number;
  /** Weights and cache. */
  readonly total: Sizes;
}

/** What {@link inspect} found. */
export interface Inspection {
  /** The folder or address. */
  readonly location: string;
  /** `weights`: a single file, or a folder that is only a part of a model. */
  readonly kind: 'published' | 'on-device' | 'weights';
  /** For people: the published layout, as "LLaVA-SP, LoRA on a base model". */
  readonly layout: string;
  /** For people: "cropping, N = 6, DFI k = 16". */
  readonly variant: string;
  /** On-device `config.json`, as far as it is known. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** All of them, in the order of the files. */
  readonly tensors: readonly InspectedTensor[];
  /** Tensors that nothing of the model needs. */
  readonly leftover: readonly string[];
  /** Those that the model has. */
  readonly parts: readonly InspectedPart[];
  /** `null` when there is no whole model: {@link incomplete} says what is missing. */
  readonly needs: DeviceNeeds | null;
  /** What is missing, for people; `null` when nothing is. */
  readonly incomplete: string | null;
}

/**
 * What a published folder, an on-device folder, or a single file of weights (`.bin`, `.safetensors`) holds; no weights are
 * read.
 *
 * @throws {LoadError} when the files can't be read at all.
 */
export async function inspect(source: string | URL, options: InspectOptions = {}): Promise<Inspection> {
  const { signal, context } = options;
  checkContext(context);
  const file = splitFile(source);
  const files = await nodeHost.openModel(file?.folder ?? source, signal);
  if (file) return weightsAlone(files, [file.name], null, signal);
  const config = await readJson(files, 'config.json', signal);
  if (config && isOnDevice(config)) return inspectOnDevice(files, config, options);
  const open = (other: string | URL | undefined) =>
    other === undefined ? undefined : nodeHost.openModel(other, signal);
  const [base, visionTower] = await Promise.all([open(options.base), open(options.visionTower)]);
  try {
    const plan = await openPlan({ checkpoint: files, base, visionTower }, signal);
    try {
      return await inspectPlan(files, plan, context, signal);
    } finally {
      await plan.close();
    }
  } catch (error) {
    if (!(error instanceof LlavaSpError) || !partial.has(error.code)) throw error;
    return weightsAlone(files, null, error.message, signal);
  }
}

/** The weights may be sound all the same: what is wrong is told beside them. */
const partial: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'MODEL_FILE_MISSING',
  'WEIGHTS_MISSING',
  'WEIGHTS_SHAPE',
  'CONFIG_INVALID',
  'CHECKPOINT_UNKNOWN',
  'ARCHITECTURE_UNKNOWN',
]);

function checkContext(context: number | undefined): void {
  if (context === undefined || (Number.isInteger(context) && context >= 1 && context <= 2 ** 20)) return;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `context must be a whole number of tokens, not ${String(context)}.`,
    fix: "Leave it out for the model's own.",
  });
}

/** A path or address that ends in a file of weights. */
function splitFile(source: string | URL): { folder: string; name: string } | null {
  const [, folder = '.', name] = /^(?:(.*)[/\\])?([^/\\]+\.(?:safetensors|bin))$/.exec(String(source)) ?? [];
  return name === undefined ? null : { folder: folder === '' ? '/' : folder, name };
}

async function inspectPlan(
  files: ModelFiles,
  plan: Plan,
  context: number | undefined,
  signal?: AbortSignal,
): Promise<Inspection> {
  const own = (await isAdapter(files))
    ? await openAdapter(files, signal)
    : await openCheckpoint(files, signal);
  await own.close();
  const sized = parts.map((part) => sizePart(plan, part)).filter(({ weights }) => weights > 0);
  const { layout, variant, config, leftover } = plan;
  return {
    location: files.location,
    kind: 'published',
    layout,
    variant,
    config,
    tensors: listTensors(own.tensors.values()),
    leftover,
    parts: sized,
    needs: needsOf(parseModelConfig(config), sized, context),
    incomplete: null,
  };
}

function sizePart(plan: Plan, part: Part): InspectedPart {
  const own = plan.tensors.filter((tensor) => tensor.part === part);
  const bytes: Partial<Record<Storing, number>> = {};
  for (const storing of ['default', 'q4', 'q8', 'f16'] as const) {
    const quantisation = checkQuantisation(storing === 'default' ? {} : { [part]: storing });
    const outputs = own.flatMap((tensor) => place(tensor, quantisation).outputs);
    bytes[storing] = outputs.reduce((sum, { size }) => sum + size, 0);
  }
  return { part, weights: own.reduce((sum, { shape }) => sum + product(shape), 0), bytes };
}

async function inspectOnDevice(
  files: ModelFiles,
  config: Record<string, unknown>,
  { context, signal }: InspectOptions,
): Promise<Inspection> {
  const parsed = parseModelConfig(config);
  const store = await openCheckpoint(files, signal);
  await store.close();
  const tensors = [...store.tensors.values()];
  const sized = parts
    .map((part): InspectedPart => {
      const own = tensors.filter(({ name }) => partOf(name) === part);
      const stored = own.reduce((sum, { bytes }) => sum + bytes, 0);
      return { part, weights: own.reduce((sum, one) => sum + weightsOf(one, parsed), 0), bytes: { stored } };
    })
    .filter(({ weights }) => weights > 0);
  const { spatial } = parsed;
  return {
    location: files.location,
    kind: 'on-device',
    layout: 'on-device',
    variant: spatialName(spatial),
    config,
    tensors: listTensors(tensors),
    leftover: tensors.filter(({ name }) => partOf(name) === null).map(({ name }) => name),
    parts: sized,
    needs: needsOf(parsed, sized, context),
    incomplete: null,
  };
}

/** How many numbers a stored tensor stands for: codes are packed, scales and biases belong to them. */
function weightsOf({ name, dtype, shape }: PublishedTensor, { quantization }: ModelConfig): number {
  if (/\.(?:scales|biases)$/.test(name)) return 0;
  if (dtype !== 'U32') return product(shape);
  const own = quantization?.layers.get(name.replace(/\.weight$/, ''));
  const bits = own ? own.bits : (quantization?.bits ?? 4);
  return product(shape) * (32 / bits);
}

function partOf(name: string): Part | null {
  if (name.startsWith(`${spatialRoot}projector.`) || name.startsWith('image_newline')) return 'projector';
  if (name.startsWith(`${spatialRoot}detail.`)) return 'detail';
  if (name.startsWith(spatialRoot)) return 'sfe';
  if (name.startsWith(projectorRoot)) return 'projector';
  if (name.startsWith(visionRoot)) return 'vision';
  if (!name.startsWith(languageRoot)) return null;
  return /\.(?:embed_tokens|lm_head)\./.test(name) ? 'embeddings' : 'llm';
}

function needsOf(config: ModelConfig, sized: readonly InspectedPart[], wanted?: number): DeviceNeeds {
  const { layers, kvHeads, headDim } = config.text;
  const context = Math.min(wanted ?? config.text.context, config.text.context);
  const cache = 2 * layers * kvHeads * headDim * context * Float32Array.BYTES_PER_ELEMENT;
  const weights: Partial<Record<Storing, number>> = {};
  for (const { bytes } of sized)
    for (const [storing, size] of Object.entries(bytes) as [Storing, number][])
      weights[storing] = (weights[storing] ?? 0) + size;
  const total = Object.fromEntries(Object.entries(weights).map(([storing, size]) => [storing, size + cache]));
  return { weights, context, cache, total };
}

/** `names`: these files; `null`: what the folder has. */
async function weightsAlone(
  files: ModelFiles,
  names: readonly string[] | null,
  incomplete: string | null,
  signal?: AbortSignal,
): Promise<Inspection> {
  const adapter = !names && (await isAdapter(files));
  const opened = names
    ? await openFiles(files, names, signal)
    : await (adapter ? openAdapter(files, signal) : openCheckpoint(files, signal));
  await opened.close();
  const tensors = [...opened.tensors.values()];
  return {
    location: files.location,
    kind: 'weights',
    layout: adapter ? 'adapter without its base model' : 'weights without a whole model',
    variant: variantOf(tensors),
    config: null,
    tensors: listTensors(tensors),
    leftover: [],
    parts: [],
    needs: null,
    incomplete: incomplete ?? 'This is one file; pass the folder to see the whole model.',
  };
}

/** As far as these files tell: one shard of a model may hold a part of its modules. */
function variantOf(tensors: readonly PublishedTensor[]): string {
  try {
    const located = new Located();
    located.add(tensors);
    return spatialName(spatialFacts(located, largestMap(located)));
  } catch (error) {
    if (error instanceof LlavaSpError) return `not told: ${error.message}`;
    throw error;
  }
}

function listTensors(tensors: Iterable<PublishedTensor>): InspectedTensor[] {
  return [...tensors].map(({ name, dtype, shape, bytes, file }) => ({ name, dtype, shape, bytes, file }));
}
