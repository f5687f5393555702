/** The lists that choose a token: from the logits of one program into the ids of the next step. */
import type { Compiled } from './compiled.ts';
import { lowerSampler, SAMPLER } from './decode.ts';
import type { OpenDevice } from './device.ts';
import type { BufferRef } from './dispatch.ts';
import { DispatchList } from './list.ts';
import { Lowering, type LoweringContext } from './lowering.ts';
import type { GpuMemory } from './memory.ts';
import type { Pipelines } from './pipelines.ts';
import { TokenRing } from './readback.ts';

interface Sampler {
  readonly from: Compiled;
  readonly into: Compiled;
  readonly greedy: boolean;
  readonly list: DispatchList;
}

export class Samplers {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #pipelines: Pipelines;
  readonly #context: LoweringContext;
  readonly #ring: TokenRing;
  readonly #samplers: Sampler[] = [];
  #buffers: { token: GPUBuffer; seen: GPUBuffer; partials: GPUBuffer; vocab: number } | null = null;

  constructor(open: OpenDevice, memory: GpuMemory, pipelines: Pipelines, context: LoweringContext) {
    this.#open = open;
    this.#memory = memory;
    this.#pipelines = pipelines;
    this.#context = context;
    this.#ring = new TokenRing(open, memory);
  }

  /** The list that samples from the output of `from` into the input `ids` of `into`. */
  async get(from: Compiled, into: Compiled, greedy: boolean, run: GPUBuffer): Promise<Sampler> {
    const known = this.#samplers.find((s) => s.from === from && s.into === into && s.greedy === greedy);
    if (known) return known;
    const [logits] = from.program.outputs;
    const vocab = logits.cols;
    const { token, seen, partials } = await this.#reserve(vocab);
    const dispatches = lowerSampler(new Lowering([], this.#context), vocab, greedy);
    const list = await DispatchList.make(this.#open, this.#memory, this.#pipelines, dispatches, 'sampling');
    const buffers: Record<number, GPUBuffer | undefined> = {
      [SAMPLER.logits]: from.parts.own.get(logits.storage),
      [SAMPLER.ids]: into.bufferOf('ids'),
      [SAMPLER.token]: token,
      [SAMPLER.seen]: seen,
      [SAMPLER.partials]: partials,
    };
    list.bind(run, (ref: BufferRef) => {
      const buffer = ref.kind === 'storage' ? buffers[ref.index] : undefined;
      if (!buffer) throw new Error(`sampling binds no ${ref.kind}`);
      return buffer;
    });
    const sampler = { from, into, greedy, list };
    this.#samplers.push(sampler);
    return sampler;
  }

  /** A new answer, of which some tokens are decided. */
  async begin(known: readonly number[], ahead: number): Promise<void> {
    await this.#ring.reserve(ahead + 1);
    if (!this.#buffers) return;
    const { seen, vocab } = this.#buffers;
    const bits = new Uint32Array(Math.ceil(vocab / 32));
    for (const id of known) bits[id >>> 5] |= 1 << (id & 31);
    this.#open.device.queue.writeBuffer(seen, 0, bits);
  }

  /** Chooses a token; the promise gives it once it is read back. */
  sample({ list }: Sampler): Promise<number> {
    if (!this.#buffers) throw new Error('no buffers to sample in');
    const staging = this.#ring.take();
    const encoder = this.#open.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    list.encode(pass, 0);
    pass.end();
    encoder.copyBufferToBuffer(this.#buffers.token, 0, staging, 0, 4);
    this.#open.device.queue.submit([encoder.finish()]);
    return this.#ring.read(staging);
  }

  /** The program is about to be released. */
  forget(compiled: Compiled): void {
    for (let i = this.#samplers.length - 1; i >= 0; i--) {
      const { from, into, list } = this.#samplers[i];
      if (from !== compiled && into !== compiled) continue;
      list.release();
      this.#samplers.splice(i, 1);
    }
  }

  async #reserve(vocab: number) {
    if (this.#buffers?.vocab === vocab) return this.#buffers;
    if (this.#buffers) throw new Error('one backend samples from one vocabulary');
    const token = await this.#memory.storage('scratch', 4, 'the token');
    const seen = await this.#memory.storage('scratch', Math.ceil(vocab / 32) * 4, 'tokens seen');
    // One pair a chunk; a chunk has at least 64 logits.
    const partials = await this.#memory.storage('scratch', Math.ceil(vocab / 64) * 8, 'maxima');
    return (this.#buffers = { token, seen, partials, vocab });
  }
}
