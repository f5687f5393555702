/** Choosing a model and a device, following its load, and what downloads there are. */
import { cache, demoModel, type Device, type LoadProgress, type ModelSource } from 'llava-sp';
import { announce } from '../announce.ts';
import { byId, el, on } from '../dom.ts';
import { bytes, percent, seconds } from '../format.ts';
import { cancelLoading, firstChoice, loadChoice } from '../loader.ts';
import { failure, modelState, type ModelState } from '../state.ts';

const PHASES = {
  files: 'Reading files',
  download: 'Downloading',
  device: 'Starting the device',
  weights: 'Loading weights',
  compile: 'Preparing kernels',
  ready: 'Ready',
} satisfies Record<LoadProgress['phase'], string>;

export function setUpModelDialog(): void {
  const dialog = byId<HTMLDialogElement>('model-dialog');
  const form = byId<HTMLFormElement>('model-form');
  byId<HTMLSelectElement>('device-choice').value = firstChoice().device;
  on(byId('open-model'), 'click', () => {
    dialog.showModal();
    void listCache();
  });
  on(byId('model-close'), 'click', () => dialog.close());
  on(form, 'change', () => followKind(form));
  followKind(form);
  on(form, 'submit', (event) => {
    event.preventDefault();
    const chosen = sourceOf(form);
    if (typeof chosen === 'string') {
      byId('model-error').textContent = chosen;
      return;
    }
    dialog.close();
    return loadChoice({ ...chosen, ...deviceOf(form), token: fieldOf(form, 'token') || undefined });
  });
  on(byId('cancel-load'), 'click', () => {
    cancelLoading();
    byId('open-model').focus();
  });
  on(byId('delete-all'), 'click', () => remove('all'));
  modelState.watch(showState);
}

/** A folder that was dropped on the page: on the device that is chosen. */
export function openFolder(files: File[], name: string): void {
  void loadChoice({ name, source: files, ...deviceOf(byId<HTMLFormElement>('model-form')) });
}

function fieldOf(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === 'string' ? value.trim() : '';
}

function deviceOf(form: HTMLFormElement): { device: Device; threads: number | undefined } {
  return {
    device: fieldOf(form, 'device') as Device,
    threads: Number(fieldOf(form, 'threads')) || undefined,
  };
}

/** Only the fields of the kind that is chosen. */
function followKind(form: HTMLFormElement): void {
  const kind = fieldOf(form, 'kind');
  byId('folder-field').hidden = kind !== 'folder';
  byId('address-field').hidden = kind !== 'address';
  byId('model-error').textContent = '';
}

/** What to load, or what is missing. */
function sourceOf(form: HTMLFormElement): { name: string; source: ModelSource } | string {
  switch (fieldOf(form, 'kind')) {
    case 'folder': {
      const files = [...(byId<HTMLInputElement>('folder').files ?? [])];
      if (files.length === 0) return 'Choose the folder of a model first.';
      return { name: files[0].webkitRelativePath.split('/')[0] || 'chosen folder', source: files };
    }
    case 'address': {
      const address = fieldOf(form, 'address');
      if (!address) return 'Type an address, or a name as owner/name.';
      const named = /^[\w.-]+\/[\w.-]+(@\S+)?$/.test(address);
      return { name: address, source: named ? `hub:${address}` : address };
    }
    default:
      return { name: 'demo model', source: demoModel };
  }
}

function showState(now: ModelState): void {
  const line = byId('model-line');
  const bar = byId<HTMLProgressElement>('load-progress');
  byId('loading').hidden = now.kind !== 'loading';
  line.dataset['state'] = now.kind;
  if (now.kind === 'ready') {
    const { backend } = now.model.info;
    line.textContent = `${now.name} · ${backend.name}`;
  } else if (now.kind === 'none') {
    line.textContent = 'no model';
  } else {
    line.textContent = `loading ${now.name}`;
    byId('load-text').textContent = now.progress ? inWords(now.progress) : 'Starting …';
    bar.value = now.progress?.fraction ?? 0;
  }
}

function inWords({ phase, loaded, total, fraction, rate, secondsLeft }: LoadProgress): string {
  const parts = [PHASES[phase]];
  if (total > 0) parts.push(`${bytes(loaded)} of ${bytes(total)}`);
  if (rate) parts.push(`${bytes(rate)}/s`);
  if (typeof secondsLeft === 'number') parts.push(`${seconds(secondsLeft)} left`);
  parts.push(percent(fraction));
  return parts.join(' · ');
}

async function listCache(): Promise<void> {
  const list = byId('cache-list');
  try {
    const models = await cache.list();
    list.replaceChildren(
      ...models.map(({ name, bytes: size, complete }) => {
        const button = el(
          'button',
          { type: 'button', className: 'quiet', 'aria-label': `Delete ${name}` },
          'Delete',
        );
        on(button, 'click', () => remove(name));
        const state = complete ? '' : ' · not complete';
        return el(
          'li',
          {},
          el('span', {}, name),
          el('span', { className: 'size' }, bytes(size) + state),
          button,
        );
      }),
    );
    const sum = models.reduce((all, { bytes: size }) => all + size, 0);
    byId('cache-sum').textContent =
      models.length === 0
        ? 'Nothing was downloaded. The demo model comes with this page.'
        : `${bytes(sum)} in ${cache.location}`;
    byId('delete-all').hidden = models.length < 2;
  } catch (error) {
    list.replaceChildren();
    byId('cache-sum').textContent = error instanceof Error ? error.message : String(error);
  }
}

async function remove(name: string): Promise<void> {
  try {
    const freed = await cache.delete(name);
    announce(`Deleted ${name === 'all' ? 'all downloads' : name}: ${bytes(freed)} are free.`);
  } catch (error) {
    byId<HTMLDialogElement>('model-dialog').close();
    failure.set(error);
  }
  await listCache();
  byId('model-close').focus();
}
