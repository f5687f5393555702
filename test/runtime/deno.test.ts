/** The built Deno package, run by Deno with the permissions that its README names, and without them. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { deno, root } from '../support/deno.ts';
import { saysStar } from '../support/star.ts';

/**
 * The README says `node_modules`; in this workspace its @llava-sp packages are links into packages/, and Deno asks for
 * where a link leads.
 */
const READ = 'node_modules,packages';

const scratch = join(root, '.cache');
beforeAll(() => mkdir(scratch, { recursive: true }));

/** Runs code that imports `llava-sp` as an application does, and gives its lines. */
async function run(code: string, permissions: readonly string[]): Promise<string[]> {
  // Beside the packages: bare names are found from where the code lies.
  const path = join(scratch, `deno-${crypto.randomUUID()}.ts`);
  await writeFile(path, code);
  try {
    const output = await deno(['run', '--no-prompt', '--quiet', '--no-check', ...permissions, path]);
    return output.trim().split('\n');
  } finally {
    await rm(path);
  }
}

const ask = (image: string, dispose = 'await model.dispose();'): string => `
  import { demoModel, load, LlavaSpError } from 'llava-sp';
  try {
    const model = await load(demoModel, { device: 'wasm' });
    console.log(await model.ask(${image}, 'Where is the red star?').text());
    ${dispose}
  } catch (error) {
    if (!(error instanceof LlavaSpError)) throw error;
    console.log(error.code, error.fix);
    Deno.exit(0);
  }`;

describe('in Deno', () => {
  test('the demo model finds the red star, with read permission alone', async () => {
    const [answer] = await run(ask("'examples/images/scene.png'"), [
      `--allow-read=${READ},examples/images/scene.png`,
    ]);
    expect(saysStar(answer), answer).toBe(true);
  });

  test('`await using` lets the process end', async () => {
    const code = `import { demoModel, load } from 'llava-sp';
      await using model = await load(demoModel, { device: 'wasm' });
      console.log(model.info.backend.name);`;
    expect(await run(code, [`--allow-read=${READ}`])).toEqual(['wasm']);
  });

  test('every format is decoded, and pictures as bytes and data addresses need no permission of their own', async () => {
    const code = `
      import { demoModel, load } from 'llava-sp';
      await using model = await load(demoModel, { device: 'wasm' });
      const bytes = await Deno.readFile('examples/images/scene.png');
      const data = 'data:image/png;base64,' + bytes.toBase64();
      const pictures = [bytes, new Blob([bytes]), data, new URL('file://' + Deno.args[0])];
      const texts = await Promise.all(pictures.map((picture) => model.ask(picture, 'Where is the red star?').text()));
      console.log(new Set(texts).size);
      for (const file of ['turned.jpg', 'tall.png', 'wide.webp']) {
        console.log((await model.ask('examples/images/' + file, 'Describe the image.').text()) !== '');
      }`;
    const withArgs = code.replace('Deno.args[0]', JSON.stringify(join(root, 'examples/images/scene.png')));
    expect(await run(withArgs, [`--allow-read=${READ},examples`])).toEqual(['1', 'true', 'true', 'true']);
  });

  test.each([
    ['no permission', "'examples/images/scene.png'", [], /^FILE_UNREADABLE .*--allow-read=.*demo-model/],
    [
      'none for the picture',
      "'examples/images/scene.png'",
      [`--allow-read=${READ}`],
      /^FILE_UNREADABLE .*--allow-read=examples\/images\/scene\.png/,
    ],
    [
      'a picture that is not there',
      "'examples/none.png'",
      [`--allow-read=${READ},examples`],
      /^FILE_UNREADABLE Check/,
    ],
    ['a picture of another host', "new URL('file://host/x.png')", [`--allow-read`], /^SOURCE_UNSUPPORTED /],
    [
      'an address without permission',
      "'http://127.0.0.1:9/x.png'",
      [`--allow-read=${READ}`],
      /^FILE_UNREADABLE /,
    ],
  ])('%s is an error that says what to do', async (_, image, permissions, expected) => {
    const [line] = await run(ask(image), permissions);
    expect(line).toMatch(expected);
  });

  test.each([
    ["'no/such/folder'", /^MODEL_NOT_FOUND /],
    ["new URL('file://host/model')", /^SOURCE_UNSUPPORTED /],
    ["'file:///%zz'", /^SOURCE_UNSUPPORTED /],
    ["new URL('ftp://host/model')", /^SOURCE_UNSUPPORTED /],
    ["'https://127.0.0.1/model'", /^CACHE_UNAVAILABLE .*--allow-env=LLAVA_SP_CACHE/],
    ["'examples/images'", /^MODEL_FILE_MISSING /],
    ["new URL('examples/images', 'file://' + Deno.cwd() + '/')", /^MODEL_FILE_MISSING /],
  ])('a model folder %s is refused', async (source, expected) => {
    const code = `import { load } from 'llava-sp';
      await load(${source}).catch(({ code, fix }) => console.log(code, fix));`;
    const [line] = await run(code, ['--allow-read']);
    expect(line).toMatch(expected);
  });

  test('settings last from run to run without a permission, and are forgotten where nothing can be kept', async () => {
    const key = `test-${crypto.randomUUID()}`;
    const settings = (code: string): string => `import { denoHost } from '@llava-sp/deno';
      const { settings } = denoHost; ${code}`;
    const path = join(scratch, 'deno-settings.ts');
    // localStorage belongs to the main module: the same file both times.
    try {
      await writeFile(
        path,
        settings(`
        console.log(await settings.get('${key}'));
        await settings.set('${key}', 'é');`),
      );
      expect((await deno(['run', '--no-prompt', '--quiet', path])).trim()).toBe('null');
      await writeFile(
        path,
        settings(`
        console.log(await settings.get('${key}'));
        localStorage.removeItem('llava-sp:${key}');
        globalThis.localStorage.setItem = () => { throw new Error('full'); };
        Object.defineProperty(globalThis, 'localStorage', { get() { throw new Error('none'); } });
        await settings.set('x', 'y');
        console.log(await settings.get('x'));`),
      );
      expect((await deno(['run', '--no-prompt', '--quiet', path])).trim().split('\n')).toEqual(['é', 'null']);
    } finally {
      await rm(path, { force: true });
    }
  });

  test('its types hold in Deno', async () => {
    const path = join(scratch, `deno-${crypto.randomUUID()}.ts`);
    const code = (type: string): string => `import { demoModel, load } from 'llava-sp';
      await using model = await load(demoModel);
      const text: ${type} = await model.ask('photo.jpg', 'What is in the picture?').text();
      console.log(text);`;
    try {
      await writeFile(path, code('string'));
      await deno(['check', '--quiet', path]);
      await writeFile(path, code('number'));
      await expect(deno(['check', '--quiet', path])).rejects.toThrow('TS2322');
    } finally {
      await rm(path, { force: true });
    }
  });

  test('its own WebGPU is opened', async () => {
    const code = `import { denoHost } from '@llava-sp/deno';
      const adapter = await (await denoHost.openGpu()).requestAdapter();
      console.log(adapter?.info.description);`;
    expect((await run(code, []))[0]).toContain('llvmpipe');
  });
});
