import { openTorch } from '../../packages/convert/src/sources/torch.ts';
import type { TorchTensor } from '../support/torch_writer.ts';
import { source } from '../weights/files.ts';

export const file = 'pytorch_model.bin';

export const weight: TorchTensor = {
  ...{ name: 'w', dtype: 'F32', shape: [2, 2] },
  chunks: () => [new Uint8Array(16)],
};

/** Opens a torch file and reads every tensor in it. */
export async function readAll(bytes: Uint8Array): Promise<void> {
  const tensors = await openTorch(source(bytes, file), file);
  for (const tensor of tensors.values()) {
    const rows = tensor.shape[0] ?? 1;
    const read = await tensor.read(0, rows);
    if (read.length !== tensor.bytes) throw new Error(`${read.length} of ${tensor.bytes} bytes`);
  }
}
