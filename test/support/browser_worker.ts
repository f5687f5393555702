/** The worker thread of the tests' page: core's worker entry, straight from source. */
import { serve } from '../../packages/core/src/worker.ts';

serve({
  post: (message: unknown, transfer: ArrayBuffer[] = []) => self.postMessage(message, { transfer }),
  onMessage: (listener: (message: unknown) => void) => {
    self.addEventListener('message', ({ data }: MessageEvent<unknown>) => listener(data));
  },
});
