import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Compiles the WASM file of an image decoder, as `@jsquash/png/codec/pkg/squoosh_png_bg.wasm`, from the installed packages. */
export async function loadCodec(specifier: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(require.resolve(specifier)));
}
