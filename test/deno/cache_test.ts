/** For `deno test`: models by address, and the cache that keeps them. */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { cache, demoModel, load } from 'llava-sp';

const scene = new URL('../../examples/images/scene.png', import.meta.url);

/** Serves the demo model; tells what was asked for. */
function serve(): { server: Deno.HttpServer<Deno.NetAddr>; address: string; asked: string[] } {
  const asked: string[] = [];
  const server = Deno.serve(
    { port: 0, hostname: '127.0.0.1', onListen: () => undefined },
    async (request) => {
      const name = new URL(request.url).pathname.slice('/model/'.length);
      asked.push(name);
      try {
        return new Response(await Deno.readFile(new URL(name, demoModel)));
      } catch {
        return new Response('none', { status: 404 });
      }
    },
  );
  return { server, address: `http://127.0.0.1:${server.addr.port}/model/`, asked };
}

Deno.test('a model is downloaded once, listed, used without its server, and deleted', async () => {
  const folder = await Deno.makeTempDir();
  Deno.env.set('LLAVA_SP_CACHE', folder);
  const { server, address, asked } = serve();
  const ask = async (): Promise<string> => {
    await using model = await load(address, {
      device: 'wasm',
      threads: 1,
      kernels: 'simd',
      download: { retries: 0 },
    });
    return await model.ask(scene, 'Where is the red star?').text();
  };
  try {
    equal(cache.location, folder);
    deepEqual(await cache.list(), []);
    const phases = new Set<string>();
    const controller = new AbortController();
    const aborted = load(address, {
      signal: controller.signal,
      onProgress: ({ phase }) => {
        phases.add(phase);
        controller.abort();
      },
    });
    await rejects(aborted, { code: 'ABORTED' });
    const answer = await ask();
    match(answer, /^\[0/);
    ok(asked.includes('model.safetensors'));
    const [{ name, bytes, complete }] = await cache.list();
    deepEqual([name, complete], [address, true]);
    ok(bytes > 4e6);
    await server.shutdown();
    equal(await ask(), answer);
    ok((await cache.delete(name)) > 4e6);
    deepEqual(await cache.list(), []);
    await rejects(ask(), /^\w+Error: /);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});
