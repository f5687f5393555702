/** A worker thread of the WASM backend. */
import { serve } from '@llava-sp/core/worker';

serve({
  onMessage: (listener) =>
    self.addEventListener('message', ({ data }: MessageEvent<unknown>) => listener(data)),
  post: (message, transfer = []) => self.postMessage(message, { transfer }),
});
