/** The worker file of the build for bundlers, and for pages without one. */
import { readAsset } from './assets.ts';
import { serveWorker } from './worker.ts';

serveWorker({
  readAsset,
  // By its own address: a bundler that finds a worker file in itself does not end.
  startWorker: () => new Worker(self.location.href, { type: 'module' }),
});
