/** What scripts/bench-bundle.mjs puts on a machine with a GPU: everything there is to measure. */
import { benchGpu } from './gpu.ts';

// A GPU object that is held keeps the process alive.
process.exit((await benchGpu(process.argv.slice(2), true)) ? 0 : 1);
