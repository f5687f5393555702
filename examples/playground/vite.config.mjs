import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vite';

/** Writes into the built service worker which files there are, and a version made of their contents. */
function fillServiceWorker() {
  return {
    name: 'fill-service-worker',
    writeBundle({ dir = '' }) {
      const worker = join(dir, 'sw.js');
      const files = readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) =>
          join(entry.parentPath, entry.name)
            .slice(dir.length + 1)
            .replaceAll('\\', '/'),
        )
        .filter((file) => file !== 'sw.js' && !file.endsWith('.map'))
        .sort();
      const hash = createHash('sha256').update(readFileSync(worker));
      for (const file of files) hash.update(file).update(readFileSync(join(dir, file)));
      const urls = files.map((file) => (file === 'index.html' ? './' : `./${file}`));
      const code = readFileSync(worker, 'utf8')
        .replace('__VERSION__', JSON.stringify(hash.digest('hex').slice(0, 16)))
        .replace('__FILES__', JSON.stringify(urls));
      writeFileSync(worker, code);
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [fillServiceWorker()],
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    outDir: 'dist',
    emptyOutDir: true,
    // data: addresses are not allowed by the page's policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: join(import.meta.dirname, 'index.html'), sw: join(import.meta.dirname, 'src/sw.ts') },
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
});
