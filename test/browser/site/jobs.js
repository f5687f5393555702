// The jobs of page.js.
const root = new URL('../../../', import.meta.url);
const builds = { index: 'packages/browser/dist/index.js', bundle: 'packages/browser/dist/llava-sp.js' };
const at = (path) => new URL(path, root).href;
const open = (build = 'index') => import(at(builds[build]));

/** Loads, asks, and says what happened meanwhile. */
async function ask({
  build,
  source,
  options,
  ownGpu,
  image = 'examples/images/scene.png',
  prompt,
  ask: askOptions,
}) {
  const longTasks = [];
  // Not in Firefox.
  const isKnown = globalThis.PerformanceObserver?.supportedEntryTypes.includes('longtask');
  const { load } = await open(build);
  const { modelFiles } = await import(at('packages/demo-model/browser.js'));
  const observer = isKnown
    ? new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration)))
    : null;
  observer?.observe({ entryTypes: ['longtask'] });
  const phases = [];
  const adapter = ownGpu ? await navigator.gpu.requestAdapter() : null;
  const model = await load(source ?? modelFiles, {
    ...options,
    gpu: await adapter?.requestDevice(),
    onProgress: ({ phase }) => phases.at(-1) === phase || phases.push(phase),
  });
  try {
    const pieces = [];
    const answer = model.ask(at(image), prompt ?? 'Where is the red star?', askOptions);
    for await (const piece of answer) {
      pieces.push(piece);
    }
    const { backend, choices, warnings } = model.info;
    const { name, threads } = backend;
    const chosen = Object.fromEntries(choices.map(({ what, chosen }) => [what, chosen]));
    return { text: pieces.join(''), name, threads, chosen, warnings, longTasks, phases };
  } finally {
    await model.dispose();
    observer?.disconnect();
  }
}

/** Answers twice; `afterFirst` is called with the first piece of the first answer. */
async function askTwice({ source, options, image, prompt, ask: askOptions }) {
  const { load } = await open();
  const model = await load(source, options);
  try {
    const texts = [];
    for (let i = 0; i < 2; i++) {
      let text = '';
      for await (const piece of model.ask(
        { ...image, data: Uint8Array.from(image.data) },
        prompt,
        askOptions,
      )) {
        if (i === 0 && text === '') await globalThis.afterFirst();
        text += piece;
      }
      texts.push(text);
    }
    return { texts, backend: model.info.backend.name, warnings: model.info.warnings };
  } finally {
    await model.dispose();
  }
}

/** The SHA-256 of pixels, without alpha. */
async function hash({ data, width, height }) {
  const count = width * height;
  const step = data.length / count;
  const rgb = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[step * i + c];
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', rgb));
  return `${width}x${height} ${[...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

async function elementOf(address, crossOrigin) {
  const image = new Image();
  if (crossOrigin) image.crossOrigin = crossOrigin;
  image.src = address;
  await image.decode();
  return image;
}

function canvasOf(image) {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas;
}

/** A video that shows a white canvas. */
async function whiteVideo() {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [64, 48];
  const context = canvas.getContext('2d');
  context.fillStyle = '#ffffff';
  const paint = () => context.fillRect(0, 0, 64, 48);
  paint();
  const video = document.createElement('video');
  video.srcObject = canvas.captureStream();
  // A frame comes with what is painted while it is captured.
  const timer = setInterval(paint, 20);
  video.muted = true;
  await video.play();
  await new Promise((done) => video.requestVideoFrameCallback(done));
  clearInterval(timer);
  return video;
}

/** Files as they are decoded here. */
async function files(names) {
  const { browserHost } = await open();
  const hashes = {};
  for (const name of names) {
    const bytes = await browserHost.readImage(new URL(at(name)));
    hashes[name] = await hash(await browserHost.decodeImage(bytes));
  }
  return hashes;
}

/** One lossless picture, in every form that a page may have it. */
async function forms(name) {
  const { browserHost } = await open();
  const address = at(name);
  const blob = await (await fetch(address)).blob();
  const image = await elementOf(address);
  const canvas = canvasOf(image);
  const offscreen = new OffscreenCanvas(canvas.width, canvas.height);
  offscreen.getContext('2d').drawImage(canvas, 0, 0);
  const drawn = canvas.getContext('2d');
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'image');
  svg.setAttribute('href', address);
  const given = {
    canvas,
    offscreen,
    svg,
    image,
    bitmap: await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' }),
    frame: new VideoFrame(canvas, { timestamp: 0 }),
    data: drawn.getImageData(0, 0, canvas.width, canvas.height),
  };
  // All are read before anything of them changes.
  const reading = Object.entries(given).map(([kind, value]) => [kind, browserHost.readPixels(value)]);
  drawn.clearRect(0, 0, canvas.width, canvas.height);
  given.data.data.fill(0);
  given.bitmap.close();
  given.frame.close();
  image.src = 'data:,';
  const hashes = { blob: await hash(await browserHost.decodeImage(await browserHost.readImage(blob))) };
  for (const [kind, read] of reading) {
    const pixels = await read;
    hashes[kind] = await hash(pixels instanceof Uint8Array ? await browserHost.decodeImage(pixels) : pixels);
  }
  return hashes;
}

/** What can't be read, or not as a file; by the code of the error. */
async function odd(foreign) {
  const { browserHost } = await open();
  const code = async (work) => {
    try {
      const pixels = await await work();
      return pixels instanceof Uint8Array
        ? 'file'
        : `${pixels.width}x${pixels.height} ${pixels.data.slice(0, 4).join(' ')}`;
    } catch (error) {
      return error.code ?? String(error);
    }
  };
  const drawingOf = (color) =>
    `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20" fill="${color}"/></svg>`)}`;
  const drawing = drawingOf('#0000ff');
  const half = document.createElement('canvas');
  half.width = half.height = 1;
  half.getContext('2d').putImageData(new ImageData(new Uint8ClampedArray([255, 0, 0, 128]), 1, 1), 0, 0);
  const closed = await createImageBitmap(half);
  closed.close();
  const broken = new Image();
  broken.src = at('README.md');
  await broken.decode().catch(() => undefined);
  return {
    svg: await code(async () => browserHost.readPixels(await elementOf(drawing))),
    changed: await code(async () => {
      const image = await elementOf(drawing);
      const reading = browserHost.readPixels(image);
      image.src = drawingOf('#ff0000');
      return reading;
    }),
    alpha: await code(() => browserHost.readPixels(half)),
    tainted: await code(async () => browserHost.readPixels(await elementOf(foreign))),
    taintedCanvas: await code(async () => browserHost.readPixels(canvasOf(await elementOf(foreign)))),
    closed: await code(() => browserHost.readPixels(closed)),
    video: await code(() => browserHost.readPixels(document.createElement('video'))),
    playing: await code(async () => browserHost.readPixels(await whiteVideo())),
    broken: await code(() => browserHost.readPixels(broken)),
    empty: await code(() => browserHost.readPixels(new Image())),
    other: browserHost.readPixels(new Map()),
  };
}

/** The model's own `ask` takes them, too. */
async function askAbout() {
  const { load } = await open();
  const { modelFiles } = await import(at('packages/demo-model/browser.js'));
  const model = await load(modelFiles, { device: 'wasm' });
  try {
    const image = await elementOf(at('examples/images/scene.png'));
    const bitmap = await createImageBitmap(image);
    const texts = [];
    for (const picture of [image, canvasOf(image), bitmap]) {
      texts.push(await model.ask(picture, 'Where is the red star?').text());
    }
    return texts;
  } finally {
    await model.dispose();
  }
}

/** The cache, and how a download into it began. */
async function cached() {
  const { cache } = await open();
  return cache.list();
}

async function forget() {
  const { cache } = await open();
  return cache.delete('all');
}

/** Deletes all models while one of their files is still held, as by the worker of a page that was closed, for `ms`. */
async function forgetHeld(ms) {
  let folder = await navigator.storage.getDirectory();
  for (const name of ['llava-sp', 'models']) folder = await folder.getDirectoryHandle(name);
  const [model] = await Array.fromAsync(folder.values());
  const [file] = await Array.fromAsync(model.values());
  const stream = await file.createWritable();
  setTimeout(() => stream.abort(), ms);
  return forget();
}

/** Asks a service worker, which is set up first. */
async function inServiceWorker(input) {
  const registration = await navigator.serviceWorker.register('service_worker.js', { type: 'module' });
  try {
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((done) => (port1.onmessage = ({ data }) => done(data)));
    worker.postMessage({ input, port: port2 }, [port2]);
    const { value, error } = await answer;
    if (error) throw Object.assign(new Error(error.message), error);
    return value;
  } finally {
    await registration.unregister();
  }
}

export const jobs = {
  ask,
  askAbout,
  askTwice,
  cached,
  files,
  forget,
  forgetHeld,
  forms,
  inServiceWorker,
  odd,
};
