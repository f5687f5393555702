/** A program made ready for the device. */
import type { Executable } from '../../backend/index.ts';
import { operands, type Program } from '../../ops/index.ts';
import type { BufferRef } from './dispatch.ts';
import type { Fused } from './fuse.ts';
import type { DispatchList } from './list.ts';
import type { Lowered } from './lowering.ts';
import type { Readback } from './readback.ts';
import type { Assignment } from './scratch.ts';

export interface AngleTable {
  readonly theta: number;
  readonly headDim: number;
}

export interface Parts {
  readonly program: Program;
  readonly fused: Fused;
  readonly lowered: Lowered;
  readonly list: DispatchList;
  readonly assignment: Assignment;
  /** Buffers of inputs and outputs, by storage: they keep their contents when other programs run. */
  readonly own: ReadonlyMap<number, GPUBuffer>;
  readonly readback: Readback;
  release(): void;
}

export class Compiled implements Executable {
  readonly program: Program;
  readonly parts: Parts;
  readonly angles: readonly AngleTable[];
  /** Rows that it appends to the cache or turns: the positions that it needs. */
  readonly rows: number;
  /** The generation of shared buffers that its bind groups were made for. */
  bound = -1;
  /** How long the last run took, in milliseconds. */
  ms = 0;

  constructor(parts: Parts) {
    this.program = parts.program;
    this.parts = parts;
    this.angles = tablesOf(parts.list.dispatches.flatMap(({ bindings }) => bindings));
    const rows = parts.program.commands.flatMap((command) => operands(command).reads.map((t) => t.rows));
    this.rows = Math.max(1, ...rows);
  }

  /** Where a storage by name is: of inputs, or the only output. */
  bufferOf(name: string): GPUBuffer {
    const index = this.parts.lowered.storages.findIndex((storage) => storage.name === name);
    const buffer = this.parts.own.get(index);
    if (!buffer) throw new Error(`${this.program.name} has no input or output ${name}`);
    return buffer;
  }

  release(): void {
    this.parts.release();
  }
}

function tablesOf(bindings: readonly BufferRef[]): AngleTable[] {
  const tables = new Map<string, AngleTable>();
  for (const ref of bindings) if (ref.kind === 'angles') tables.set(`${ref.theta} ${ref.headDim}`, ref);
  return [...tables.values()];
}
