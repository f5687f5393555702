import type { Command, Tensor } from './types.ts';

/** The tensors that a command reads and writes; weights and caches apart. */
export function operands(command: Command): { reads: readonly Tensor[]; writes: readonly Tensor[] } {
  switch (command.op) {
    case 'linear': {
      const { x, residual, y } = command;
      return { reads: residual ? [x, residual] : [x], writes: [y] };
    }
    case 'embed':
      return { reads: [command.ids], writes: [command.y] };
    case 'take':
      return { reads: [command.table, command.ids], writes: [command.y] };
    case 'rotary':
      return { reads: [command.x], writes: [command.x] };
    case 'kv_write':
      return { reads: [command.k, command.v], writes: [] };
    case 'attention_cached':
      return { reads: [command.q], writes: [command.y] };
    case 'attention':
      return { reads: [command.q, command.k, command.v], writes: [command.y] };
    case 'cross_attention':
      return { reads: [command.q, command.k, command.v], writes: [command.y, command.map] };
    case 'swiglu':
      return { reads: [command.gate, command.up], writes: [command.y] };
    case 'patchify':
      return { reads: [command.pixels], writes: [command.y] };
    case 'assemble_cls':
      return { reads: [command.patches], writes: [command.y] };
    case 'layer_norm':
    case 'rms_norm':
    case 'activation':
    case 'copy':
    case 'crop':
    case 'pool':
    case 'unfold':
      return { reads: [command.x], writes: [command.y] };
    default:
      return command satisfies never;
  }
}

/** Whether two tensors are the same elements in the same order. */
export function sameView(a: Tensor, b: Tensor): boolean {
  return (
    a.storage === b.storage &&
    a.offset === b.offset &&
    a.rows === b.rows &&
    a.cols === b.cols &&
    a.ld === b.ld
  );
}
