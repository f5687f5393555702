import type { RawPixels } from '../decode.ts';

/** What the decoders built by emscripten share: a factory that makes an instance of a compiled module. */
export type Factory<Instance> = (options: {
  noInitialRun: boolean;
  print: (line: string) => void;
  printErr: (line: string) => void;
  instantiateWasm: (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => object;
}) => Promise<Instance>;

/**
 * Runs `decode` on a new instance. One instance for each image: one that trapped or gave up on a damaged file is
 * of no more use, and a WASM memory never shrinks, so a kept one would hold the largest picture ever seen.
 * @returns the picture, and the lines that the decoder wrote
 * @throws Error with the decoder's own words, where it wrote any
 */
export async function runEmscripten<Instance>(
  factory: Factory<Instance>,
  module: WebAssembly.Module,
  decode: (instance: Instance) => RawPixels | null,
): Promise<{ image: RawPixels; lines: string[] }> {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  try {
    const instance = await new Promise<Instance>((resolve, reject) => {
      const made = factory({
        noInitialRun: true,
        print: log,
        printErr: log,
        instantiateWasm: (imports, done) => {
          WebAssembly.instantiate(module, imports).then(done, reject);
          return {};
        },
      });
      made.then(resolve, reject);
    });
    const image = decode(instance);
    if (image === null) throw new Error('no picture came out');
    return { image, lines };
  } catch (cause) {
    // What is thrown is often no Error at all (an exit status, a C++ exception's address).
    const what = lines.join('; ') || (cause instanceof Error ? cause.message : 'the decoder gave up');
    throw new Error(what, { cause });
  }
}
