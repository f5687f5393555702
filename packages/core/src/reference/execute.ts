import type { Command, Tensor, WeightRef } from '../ops/index.ts';
import { activation } from './activation.ts';
import { assembleCls } from './assemble_cls.ts';
import { attention } from './attention.ts';
import { attentionCached } from './attention_cached.ts';
import { copy } from './copy.ts';
import { crop } from './crop.ts';
import { crossAttention } from './cross_attention.ts';
import { embed } from './embed.ts';
import { kvWrite, type KvCache } from './kv_write.ts';
import { layerNorm } from './layer_norm.ts';
import { linear } from './linear.ts';
import type { Matrix } from './matrix.ts';
import { patchify } from './patchify.ts';
import { pool } from './pool.ts';
import { quantizeQ8 } from './quantize_q8.ts';
import { rmsNorm } from './rms_norm.ts';
import { rotary } from './rotary.ts';
import { swiglu } from './swiglu.ts';
import { take } from './take.ts';
import { unfold } from './unfold.ts';
import type { ReferenceWeight } from './weights.ts';

/** What a command reads besides its own fields. */
export interface Environment {
  readonly tensor: (t: Tensor) => Matrix;
  readonly weight: (ref: WeightRef) => ReferenceWeight;
  readonly cache: (layer: number) => KvCache;
  readonly pos: number;
  readonly activationRounding: (linear: Extract<Command, { op: 'linear' }>) => boolean;
}

/** Runs one command by its plain definition. */
export function execute(command: Command, env: Environment): void {
  const t = env.tensor;
  const vector = (ref: WeightRef) => env.weight(ref).values.data;
  switch (command.op) {
    case 'linear': {
      const { values, quantized } = env.weight(command.w);
      const x = quantized && env.activationRounding(command) ? quantizeQ8(t(command.x)) : t(command.x);
      const bias = command.bias && vector(command.bias);
      const residual = command.residual && t(command.residual);
      return linear(x, values, bias, residual, command.act, t(command.y));
    }
    case 'layer_norm':
      return layerNorm(t(command.x), vector(command.w), vector(command.b), command.eps, t(command.y));
    case 'rms_norm':
      return rmsNorm(t(command.x), vector(command.w), command.eps, t(command.y));
    case 'embed':
      return embed(t(command.ids), env.weight(command.w).values, t(command.y));
    case 'take':
      return take(t(command.table), t(command.ids), t(command.y));
    case 'rotary':
      return rotary(t(command.x), command.heads, command.headDim, command.theta, env.pos);
    case 'kv_write':
      return kvWrite(t(command.k), t(command.v), env.cache(command.cache.layer), env.pos);
    case 'attention_cached':
      return attentionCached(
        t(command.q),
        env.cache(command.cache.layer),
        command.heads,
        t(command.y),
        env.pos,
      );
    case 'attention':
      return attention(t(command.q), t(command.k), t(command.v), command.heads, t(command.y));
    case 'cross_attention':
      return crossAttention(t(command.q), t(command.k), t(command.v), t(command.map), t(command.y));
    case 'activation':
      return activation(t(command.x), command.act, t(command.y));
    case 'swiglu':
      return swiglu(t(command.gate), t(command.up), t(command.y));
    case 'copy':
      return copy(t(command.x), t(command.y));
    case 'patchify':
      return patchify(t(command.pixels), command.channels, command.grid, command.patch, t(command.y));
    case 'assemble_cls':
      return assembleCls(
        t(command.patches),
        command.cls && vector(command.cls),
        vector(command.pos),
        t(command.y),
      );
    case 'crop':
      return crop(t(command.x), command.grid, command.kernel, t(command.y));
    case 'pool':
      return pool(t(command.x), command.grid, command.kernel, t(command.y));
    case 'unfold':
      return unfold(t(command.x), command.grid, command.kernel, command.stride, t(command.y));
    default:
      throw new Error(`unknown command ${JSON.stringify(command satisfies never)}`);
  }
}
