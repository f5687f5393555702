import type { Command, Program } from '../../ops/index.ts';

/** Multiply-adds of a slice on one thread: about 30 ms, so that an abort is heard in time. */
const SLICE_MACS = 1e9;

/** Multiply-adds of a command, roughly; what is not a product counts as nothing. */
function macs(command: Command): number {
  switch (command.op) {
    case 'linear':
      return command.x.rows * command.w.n * command.w.k;
    case 'attention':
      return 2 * command.q.rows ** 2 * command.q.cols;
    case 'attention_cached':
      return command.q.rows * command.q.cols * command.cache.context;
    default:
      return 0;
  }
}

/** Command indices, from 0 to the end, between which a run may be stopped. */
export function slicesOf(program: Program, threads: number): number[] {
  const borders = [0];
  let sum = 0;
  program.commands.forEach((command, i) => {
    sum += macs(command);
    if (sum > SLICE_MACS * threads && i + 1 < program.commands.length) {
      borders.push(i + 1);
      sum = 0;
    }
  });
  borders.push(program.commands.length);
  return borders;
}
