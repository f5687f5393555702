/** What each spatial token looks at: its windows, and the map of the DFI's attention. */
import type { Explanation } from 'llava-sp';
import { placeOf } from '../boxes.ts';
import { byId, el, on } from '../dom.ts';
import { percent } from '../format.ts';
import { heatColour, strongest } from '../heat.ts';
import { busy, explanation, heat, lastRun, modelState, picture, tab } from '../state.ts';
import { task } from '../task.ts';
import { afterChanges } from './live.ts';

let token = 0;
let tile = 0;

export function setUpHeat(): void {
  const opacity = byId<HTMLInputElement>('opacity');
  on(byId('look'), 'click', look);
  on(opacity, 'input', draw);
  on(byId('tokens'), 'change', ({ target }) => {
    if (target instanceof HTMLInputElement) token = Number(target.value);
    draw();
  });
  on(byId('tile'), 'change', ({ target }) => {
    if (target instanceof HTMLSelectElement) tile = Number(target.value);
    draw();
  });
  busy.watch((now) => (byId<HTMLButtonElement>('look').disabled = now !== null));
  explanation.watch(offer);
  tab.watch((now) => {
    if (now !== 'heat') heat.set(null);
    else if (explanation.value) draw();
    else if (modelState.value.kind === 'ready' && !busy.value) void look();
  });
  afterChanges('heat', 'looking', look);
  picture.watch(({ drawing }) => {
    if (!drawing && tab.value === 'heat' && modelState.value.kind === 'ready' && !busy.value) void look();
  });
  paintLegend(byId<HTMLCanvasElement>('legend'));
}

async function look(): Promise<void> {
  const of = picture.value;
  const end = await task('looking', async (model, signal) => {
    const scene = await model.look(of.input(), { signal });
    const { explanation: now, timings } = scene;
    scene.dispose();
    const vision = timings.vision + timings.prefix;
    lastRun.set({ name: 'Looking at the picture', vision, total: timings.preprocess + vision });
    if (of === picture.value) explanation.set(now);
  });
  if (end !== 'done' && !explanation.value && of === picture.value) showControls(false);
}

/** The controls for what there is to see. */
function offer(now: Explanation | null): void {
  byId('heat-text').textContent = '';
  if (!now) {
    heat.set(null);
    // Looking again is a matter of a moment: the controls stay where they are.
    if (tab.value !== 'heat') showControls(false);
    return;
  }
  showControls(true);
  tile = Math.min(tile, now.tiles.length - 1);
  const { tokens } = now.tiles[tile];
  if (tokens.length === 0) {
    showControls(false);
    byId('heat-text').textContent = 'This model has no spatial tokens: it is a plain LLaVA.';
    return;
  }
  token = Math.min(token, tokens.length - 1);
  byId('tile-field').hidden = now.tiles.length < 2;
  byId('tile').replaceChildren(
    ...now.tiles.map((_, i) => el('option', { value: String(i), selected: i === tile }, String(i + 1))),
  );
  byId('tokens').replaceChildren(
    ...tokens.map(({ kernel }, i) =>
      el(
        'label',
        { className: 'choice token' },
        el('input', { type: 'radio', name: 'token', value: String(i), checked: i === token }),
        el('span', { className: 'token-number' }, String(i + 1)),
        el('span', { className: 'token-kernel' }, `${kernel}×${kernel}`),
      ),
    ),
  );
  draw();
}

function showControls(there: boolean): void {
  byId('heat-controls').hidden = !there;
  byId('heat-empty').hidden = there;
}

function draw(): void {
  const now = explanation.value?.tiles[tile];
  if (!now || tab.value !== 'heat') return heat.set(null);
  heat.set({ tile: now, token, opacity: Number(byId<HTMLInputElement>('opacity').value) / 100 });
  byId('heat-text').textContent = inWords(now);
}

function inWords(now: Explanation['tiles'][number]): string {
  const { kernel, boxes } = now.tokens[token];
  const { width, height } = picture.value;
  const windows =
    boxes.length === 1
      ? `Spatial token ${token + 1} covers the middle ${kernel} by ${kernel} patches.`
      : `Spatial token ${token + 1} is pooled from ${kernel} by ${kernel} cells.`;
  const most = strongest(now, token);
  if (!most) return `${windows} This model has no detail integrator, so there is no map.`;
  const place = placeOf(now.positionBoxes[most.position], width, height);
  return `${windows} Of the ${now.positions} places that it can take details from, it looks most at the ${place}: ${percent(most.share)} of its attention.`;
}

function paintLegend(canvas: HTMLCanvasElement): void {
  const context = canvas.getContext('2d');
  for (let x = 0; context && x < canvas.width; x++) {
    context.fillStyle = `rgb(${heatColour(x / (canvas.width - 1)).join(' ')})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}
