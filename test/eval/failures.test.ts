/** The page of failures: pictures by relative addresses, boxes in their place, and nothing that the texts could smuggle in. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { failuresPage } from '../../packages/llava-sp/src/eval/failures.ts';
import type { Report } from '../../packages/llava-sp/src/eval/report.ts';
import type { Task } from '../../packages/llava-sp/src/eval/types.ts';
import { withFiles } from './folder.ts';

test('boxes are drawn in pixels of the picture, texts are texts', async () => {
  await withFiles({ 'images/a b#1.png': 'x' }, async (folder) => {
    const failure = {
      ...{
        id: 1,
        image: 'on/their/disk/a b#1.png',
        prompt: 'the <b>dog</b>',
        answer: 'no box',
        truth: '"&"',
      },
      ...{ found: [[1, 2, 3, 5]], boxes: [[10, 20, 40, 25]], size: { width: 64, height: 48 } },
    };
    const report = {
      benchmark: 'b',
      model: { name: '<m>' },
      tasks: [
        { name: 'refcoco', failures: [failure] },
        { name: 'vqa', failures: [] },
      ],
    };
    const tasks = [{ name: 'refcoco', images: join(folder, 'images') }, { name: 'vqa' }];
    const page = await failuresPage(
      report as unknown as Report,
      tasks as unknown as Task[],
      join(folder, 'out'),
    );
    expect(page).toContain('<img src="../images/a%20b%231.png" alt="">');
    expect(page).toContain('<svg viewBox="0 0 64 48"');
    expect(page).toContain('<rect class="truth" x="10" y="20" width="30" height="5"/>');
    expect(page).toContain('<rect class="found" x="1" y="2" width="2" height="3"/>');
    expect(page).toContain('the &#60;b&#62;dog&#60;/b&#62;<br>said: no box<br>true: &#34;&#38;&#34;');
    expect(page).not.toMatch(/<b>|<m>|vqa/);
  });
});
