/** Where pictures come from: drawing, files, drops, the clipboard, examples. */
import { announce } from '../announce.ts';
import { byId, el, on } from '../dom.ts';
import { ABOUT_SHAPES, pictureOfFile } from '../picture.ts';
import { showDrawing } from '../scene/edit.ts';
import { failure, picture, show } from '../state.ts';

interface Example {
  readonly name: string;
  readonly url: URL;
  readonly questions: readonly string[];
}

const EXAMPLES: readonly Example[] = [
  {
    name: 'A garden',
    url: new URL('../../../images/garden.jpg', import.meta.url),
    questions: ['What do you see?', 'Where is the house?', 'How many animals are there?', 'Is there a car?'],
  },
  {
    name: 'A playroom, in a style that the demo model never saw',
    url: new URL('../../../images/playroom.jpg', import.meta.url),
    questions: [
      'What do you see?',
      'Where is the guitar?',
      'What is to the left of the guitar?',
      'Is there a dog?',
    ],
  },
  {
    name: 'Shapes on stripes',
    url: new URL('../../../images/scene.png', import.meta.url),
    questions: ABOUT_SHAPES,
  },
  {
    name: 'A tall picture',
    url: new URL('../../../images/tall.png', import.meta.url),
    questions: ABOUT_SHAPES,
  },
  {
    name: 'A wide picture',
    url: new URL('../../../images/wide.webp', import.meta.url),
    questions: ABOUT_SHAPES,
  },
  {
    name: 'A photo taken sideways',
    url: new URL('../../../images/turned.jpg', import.meta.url),
    questions: ABOUT_SHAPES,
  },
];

/** @param openFolder takes a model's files that were dropped on the page. */
export function setUpSources(openFolder: (files: File[], name: string) => unknown): void {
  const input = byId<HTMLInputElement>('picture-file');
  on(byId('draw'), 'click', showDrawing);
  on(byId('open'), 'click', () => input.click());
  on(input, 'change', () => {
    const [file] = input.files ?? [];
    // The same file may be chosen again.
    input.value = '';
    if (file) return open(file, file.name);
  });
  on(byId('paste'), 'click', paste);
  byId('paste').hidden = !('clipboard' in navigator && 'read' in navigator.clipboard);
  document.addEventListener('paste', ({ clipboardData }) => {
    const file = [...(clipboardData?.files ?? [])].find(({ type }) => type.startsWith('image/'));
    if (file) void open(file, 'Pasted picture');
  });
  setUpDrop(openFolder);

  byId('examples').append(
    ...EXAMPLES.map(({ name, url, questions }) => {
      const image = el('img', { src: url.href, alt: '', loading: 'lazy' });
      const button = el(
        'button',
        { type: 'button', className: 'example', title: name, 'aria-label': name },
        image,
      );
      on(button, 'click', async () => {
        try {
          await open(await (await fetch(url)).blob(), name, questions);
        } catch (error) {
          failure.set(error);
        }
      });
      return el('li', {}, button);
    }),
  );
  picture.watch(({ drawing }) => byId('draw').setAttribute('aria-pressed', String(drawing !== null)));
}

async function open(file: Blob, name: string, questions?: readonly string[]): Promise<void> {
  try {
    const next = await pictureOfFile(file, name, questions);
    failure.set(null);
    show(next);
    announce(`${name}, ${next.width} by ${next.height} pixels.`);
  } catch (cause) {
    failure.set(new Error(`${name} is no picture that this browser can show.`, { cause }));
  }
}

async function paste(): Promise<void> {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((one) => one.startsWith('image/'));
      if (type) return await open(await item.getType(type), 'Pasted picture');
    }
    failure.set(new Error('There is no picture in the clipboard.'));
  } catch (cause) {
    failure.set(new Error('The browser did not let this page read the clipboard.', { cause }));
  }
}

function setUpDrop(openFolder: (files: File[], name: string) => unknown): void {
  const veil = byId('drop');
  // Entering a child comes before leaving its parent.
  let depth = 0;
  const carriesFiles = ({ dataTransfer }: DragEvent): boolean => !!dataTransfer?.types.includes('Files');
  document.addEventListener('dragenter', (event) => {
    if (!carriesFiles(event)) return;
    depth++;
    veil.hidden = false;
  });
  document.addEventListener('dragleave', (event) => {
    if (carriesFiles(event)) veil.hidden = --depth <= 0;
  });
  document.addEventListener('dragover', (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    void dropped(event, openFolder);
  });
}

async function dropped(
  event: DragEvent,
  openFolder: (files: File[], name: string) => unknown,
): Promise<void> {
  // Read before the first await: afterwards the list is empty.
  const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry());
  const files = [...(event.dataTransfer?.files ?? [])];
  const folder = entries.find((entry) => entry?.isDirectory) as FileSystemDirectoryEntry | undefined;
  if (folder) {
    try {
      openFolder(await filesOf(folder), folder.name);
    } catch (cause) {
      failure.set(new Error(`The folder ${folder.name} can't be read.`, { cause }));
    }
  } else if (files.length === 1) {
    await open(files[0], files[0].name);
  } else if (files.length > 1) {
    openFolder(files, `${files.length} files`);
  }
}

async function filesOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    // A hundred at a time.
    const entries = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (entries.length === 0) return files;
    for (const entry of entries) {
      if (!entry.isFile) continue;
      files.push(await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail)));
    }
  }
}
