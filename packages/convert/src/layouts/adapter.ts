/** Low-rank adapters as peft saves them (specification section 8). */
import { LoadError } from '@llava-sp/core';
import { Fields } from '@llava-sp/core/formats';
import type { LoraUpdate } from '../contract.ts';
import { asSource, type PublishedTensor } from '../sources/tensors.ts';
import type { Located } from './located.ts';
import { translate } from './names.ts';

const file = 'adapter_config.json';
const ranks = { min: 1, max: 65_536 };
const alphas = { min: -1e6, max: 1e6 };
const loraName = /^(.*)\.lora_([AB])(?:\.default)?\.weight$/;

/** An adapter's factors, by the published name of the weight; and what else its files hold. */
export interface AdapterTensors {
  readonly factors: ReadonlyMap<string, { readonly a: PublishedTensor; readonly b: PublishedTensor }>;
  /** Tensors that take the place of the base's, or add to it. */
  readonly whole: readonly PublishedTensor[];
}

/**
 * Parts the factors from whole tensors.
 *
 * @throws {LoadError} `ADAPTER_INVALID` where a factor lacks its other one, or is of a kind that is not known.
 */
export function splitAdapter(tensors: Iterable<PublishedTensor>): AdapterTensors {
  const halves = new Map<string, { A?: PublishedTensor; B?: PublishedTensor }>();
  const whole: PublishedTensor[] = [];
  for (const tensor of tensors) {
    const [, layer, letter] = loraName.exec(tensor.name) ?? [];
    if (layer === undefined) {
      if (/\.lora_|lora_magnitude|lora_embedding/.test(tensor.name))
        throw invalid(`"${tensor.name}" is an adapter of a kind that is not known`);
      whole.push(tensor);
      continue;
    }
    const pair = halves.get(layer) ?? {};
    halves.set(layer, { ...pair, [letter]: tensor });
  }
  const factors = new Map<string, { a: PublishedTensor; b: PublishedTensor }>();
  for (const [layer, { A, B }] of halves) {
    if (!A || !B) throw invalid(`"${layer}" has lora_${A ? 'A' : 'B'} without lora_${A ? 'B' : 'A'}`);
    factors.set(layer, { a: A, b: B });
  }
  return { factors, whole };
}

/**
 * The updates `W + alpha / rank * B A` by on-device weight.
 *
 * @param json `adapter_config.json`.
 * @throws {LoadError} `ADAPTER_INVALID` when an adapter names a weight that is not there, is of another rank than the
 *   configuration says, or of a shape that does not fit its weight; or when the configuration asks for what is not known.
 */
export function loraUpdates(
  json: unknown,
  adapter: AdapterTensors['factors'],
  located: Located,
): Map<string, LoraUpdate> {
  const config = Fields.of(json, file);
  checkKind(config);
  const updates = new Map<string, LoraUpdate>();
  for (const [layer, { a, b }] of adapter) {
    const target = translate(`${layer}.weight`)?.targets ?? [];
    const location = target.length === 1 ? located.get(target[0].name) : undefined;
    if (!location) throw invalid(`it adapts "${layer}", a weight that the model does not have`);
    const [out, input, ...rest] = location.tensor.shape;
    if (input === undefined || rest.length > 0)
      throw invalid(`it adapts "${layer}", which is no matrix but [${location.tensor.shape.join(', ')}]`);
    const rank = patterned(config, 'rank_pattern', layer, config.integer('r', ranks, 8));
    checkFactor(a, [rank, input]);
    checkFactor(b, [out, rank]);
    const alpha = patterned(config, 'alpha_pattern', layer, config.number('lora_alpha', alphas, 8));
    const scale = alpha / (config.boolean('use_rslora', false) ? Math.sqrt(rank) : rank);
    updates.set(target[0].name, { a: asSource(a), b: asSource(b), scale });
  }
  return updates;
}

function checkFactor(tensor: PublishedTensor, shape: readonly number[]): void {
  if (tensor.shape.length === 2 && tensor.shape.every((size, i) => size === shape[i])) return;
  throw invalid(`"${tensor.name}" must be [${shape.join(', ')}] to fit; found [${tensor.shape.join(', ')}]`);
}

/** What changes the meaning of the factors, and is not computed here, is refused. */
function checkKind(config: Fields): void {
  const peft = config.has('peft_type') ? config.string('peft_type') : 'LORA';
  if (peft !== 'LORA') throw invalid(`it is a ${peft.slice(0, 40)} adapter; LORA is known`);
  for (const flag of ['use_dora', 'fan_in_fan_out', 'lora_bias', 'use_qalora'])
    if (config.boolean(flag, false)) throw invalid(`${file} asks for ${flag}`);
  const bias = config.has('bias') ? config.string('bias') : 'none';
  if (bias !== 'none') throw invalid(`${file} trains biases (${bias.slice(0, 40)})`);
  // These change the base weights as well, which the published base does not show.
  const start = config.raw('init_lora_weights');
  if (typeof start === 'string' && /^(?:pissa|olora|corda|loftq)/i.test(start))
    throw invalid(`${file} starts from ${start.slice(0, 40)}, which changes the base too`);
}

/** A value of its own for some layers: the pattern is the end of a layer's name. */
function patterned(config: Fields, key: string, layer: string, fallback: number): number {
  if (!config.has(key)) return fallback;
  const patterns = config.fields(key);
  for (const pattern of patterns.keys()) {
    // peft takes regular expressions here; those of a stranger are not run.
    if (!/^[\w.]+$/.test(pattern))
      throw patterns.error(pattern, 'named by a layer, not by a regular expression');
    if (layer === pattern || layer.endsWith(`.${pattern}`))
      return key === 'rank_pattern' ? patterns.integer(pattern, ranks) : patterns.number(pattern, alphas);
  }
  return fallback;
}

function invalid(what: string): LoadError {
  return new LoadError({
    code: 'ADAPTER_INVALID',
    message: `The adapter can't be merged: ${what}.`,
    fix: 'Check that the adapter was trained on this base model, and that its files are whole.',
  });
}
