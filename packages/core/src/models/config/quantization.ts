import type { Fields } from '../fields.ts';
import type { LayerQuantization, QuantizationConfig } from './types.ts';

/** `quantization`. */
export function parseQuantization(quantization: Fields): QuantizationConfig {
  const layers = new Map<string, LayerQuantization | false>();
  for (const key of quantization.keys()) {
    if (key === 'group_size' || key === 'bits' || key === 'mode') continue;
    layers.set(key, quantization.raw(key) === false ? false : parseLayer(quantization.fields(key)));
  }
  quantization.oneOf('mode', ['affine'], 'affine');
  return { ...parseLayer(quantization), layers };
}

function parseLayer(fields: Fields): LayerQuantization {
  return { group: fields.oneOf('group_size', [32, 64, 128]), bits: fields.oneOf('bits', [4, 8]) };
}
