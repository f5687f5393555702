/** The picture, with what was found drawn over it. */
import { byId, el } from '../dom.ts';
import { averageHeat, heatColours } from '../heat.ts';
import { heat, marks, picture, tab, type Heat, type Mark } from '../state.ts';
import type { Picture } from '../picture.ts';

/** More is not seen, and costs memory. */
const MOST_PIXELS_A_SIDE = 1280;

export function setUpStage(): void {
  const stage = byId('stage');
  const canvas = byId<HTMLCanvasElement>('canvas');
  const found = byId('marks');
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser has no canvas to draw on');

  picture.watch((now) => {
    const scale = Math.min(1, MOST_PIXELS_A_SIDE / Math.max(now.width, now.height));
    const [width, height] = [Math.round(now.width * scale), Math.round(now.height * scale)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      stage.style.aspectRatio = `${now.width} / ${now.height}`;
      // Tall pictures leave room for what is below them.
      stage.style.setProperty('--ratio', String(now.width / now.height));
    }
    now.show(context, width, height);
    canvas.setAttribute('aria-label', now.name);
  });
  marks.watch((all) => found.replaceChildren(...all.map((mark) => drawn(mark, picture.value))));
  tab.watch((now) => (stage.dataset['tab'] = now));
  heat.watch((now) => drawHeat(byId<HTMLCanvasElement>('heat-canvas'), byId('windows'), now));
}

function drawn({ box, label, colour }: Mark, of: Picture): HTMLElement {
  const text = el('span', { className: 'mark-label', textContent: label });
  const element = placed(el('div', { className: `mark colour-${colour}` }, text), box, of);
  // Where there is no room above, the label goes inside.
  element.classList.toggle('label-inside', box[1] < of.height * 0.09);
  element.classList.toggle('label-right', box[0] > of.width * 0.6);
  return element;
}

/** Placed over the picture, in shares of it. */
function placed<T extends HTMLElement>(element: T, [x1, y1, x2, y2]: Mark['box'], of: Picture): T {
  element.style.left = `${(x1 / of.width) * 100}%`;
  element.style.top = `${(y1 / of.height) * 100}%`;
  element.style.width = `${((x2 - x1) / of.width) * 100}%`;
  element.style.height = `${((y2 - y1) / of.height) * 100}%`;
  return element;
}

function drawHeat(canvas: HTMLCanvasElement, windows: HTMLElement, now: Heat | null): void {
  canvas.hidden = !now;
  windows.replaceChildren();
  if (!now) return;
  const { tile, token, opacity } = now;
  const of = picture.value;
  for (const box of tile.tokens[token].boxes) {
    windows.append(placed(el('div', { className: 'window' }), box, of));
  }
  const map = averageHeat(tile, token, of.width, of.height);
  canvas.hidden = !map;
  if (!map) return;
  canvas.width = map.width;
  canvas.height = map.height;
  canvas.style.opacity = String(opacity);
  canvas.getContext('2d')?.putImageData(heatColours(map), 0, 0);
}
