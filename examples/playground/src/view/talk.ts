/** Asking, and the answers as they come. */
import type { Answer, AskedPicture, AskOptions, Chat, ImageInput, Model, Timings } from 'llava-sp';
import { announce } from '../announce.ts';
import { marksOf } from '../boxes.ts';
import { byId, el, on } from '../dom.ts';
import { milliseconds } from '../format.ts';
import type { Picture } from '../picture.ts';
import { busy, explanation, lastRun, marks, modelState, picture } from '../state.ts';
import { stop, task } from '../task.ts';
import { afterChanges } from './live.ts';

interface Turn {
  readonly question: string;
  readonly answer: HTMLElement;
  readonly facts: HTMLElement;
  readonly element: HTMLElement;
  /** Asks again, on the picture of then. */
  readonly make: MakeAnswer;
}

interface Talk {
  readonly chat: Chat;
  readonly of: Picture;
  readonly model: Model;
  /** Its look at the picture is not counted yet. */
  fresh: boolean;
}

type MakeAnswer = (model: Model, image: ImageInput, options: AskOptions) => Answer;

/** Older ones leave the page. */
const MOST_TURNS = 40;

/** The conversation of now: of one picture and one model. */
let talk: Talk | null = null;
let last: Turn | null = null;

export function setUpTalk(): void {
  const form = byId<HTMLFormElement>('ask-form');
  const prompt = byId<HTMLTextAreaElement>('prompt');
  on(form, 'submit', (event) => {
    event.preventDefault();
    const question = prompt.value.trim();
    if (!question || busy.value) return;
    prompt.value = '';
    return ask(question);
  });
  on(prompt, 'keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  on(byId('stop'), 'click', () => {
    stop();
    prompt.focus();
  });
  on(byId('clear'), 'click', forget);
  for (const length of ['short', 'detailed'] as const) {
    on(byId(`caption-${length}`), 'click', () =>
      turn(length === 'short' ? 'Caption' : 'Detailed caption', (model, image, options) =>
        model.caption(image, { ...options, length }),
      ),
    );
  }
  let suggested: readonly string[] = [];
  picture.watch(({ questions }) => {
    // A drawing that is dragged about is another picture each time: the buttons stay.
    if (questions === suggested) return;
    suggested = questions;
    byId('suggestions').replaceChildren(...questions.map(suggestion));
  });
  busy.watch((now) => {
    byId('stop').hidden = !now;
    byId('ask').hidden = now !== null;
    document.body.classList.toggle('busy', now !== null);
  });
  afterChanges('ask', 'answering', () => {
    if (last) return answer(last);
  });
  modelState.watch(endTalk);
}

function suggestion(text: string): HTMLElement {
  const button = el('button', { type: 'button', className: 'chip', textContent: text });
  on(button, 'click', () => ask(text));
  return el('li', {}, button);
}

function ask(question: string): Promise<void> {
  return turn(question, (model, image, options) => {
    if (!byId<HTMLInputElement>('keep-turns').checked) return model.ask(image, question, options);
    if (talk?.of !== picture.value || talk.model !== model) {
      endTalk();
      talk = begin(model, image, options.signal);
    }
    return talk.chat.ask(question, options);
  });
}

/** A conversation. The first question's signal ends its look at the picture, too; then the next one begins another. */
function begin(model: Model, image: ImageInput, signal?: AbortSignal): Talk {
  const begun = { chat: model.chat(image, { signal }), of: picture.value, model, fresh: true };
  begun.chat.scene.catch(() => {
    if (talk === begun) endTalk();
  });
  return begun;
}

function turn(question: string, make: MakeAnswer): Promise<void> {
  const answerPart = el('p', { className: 'answer' });
  const facts = el('p', { className: 'facts' });
  const element = el(
    'li',
    { className: 'turn' },
    el('p', { className: 'question' }, question),
    answerPart,
    facts,
  );
  const log = byId('log');
  log.append(element);
  while (log.children.length > MOST_TURNS) log.firstElementChild?.remove();
  byId('empty').hidden = true;
  byId('clear').hidden = false;
  last = { question, answer: answerPart, facts, element, make };
  return answer(last);
}

async function answer({ question, make, element, answer: into, facts }: Turn): Promise<void> {
  const of = picture.value;
  let text = '';
  const write = (asked: AskedPicture | null): void => {
    into.textContent = text;
    if (asked && of === picture.value) marks.set(marksOf(text, shortened(question), asked.geometry));
    byId('log').scrollTop = byId('log').scrollHeight;
  };
  element.dataset['state'] = 'running';
  into.textContent = '';
  facts.textContent = '';
  marks.set([]);
  const spent: string[] = [];
  const end = await task('answering', async (model, signal) => {
    const current = make(model, of.input(), { signal, explain: true });
    for await (const piece of current) {
      text += piece;
      write(current.picture);
    }
    if (of === picture.value) explanation.set(current.explanation);
    const { looked, times } = await timesOf(current);
    lastRun.set({ name: `“${question}”`, ...times });
    spent.push(milliseconds(times.total));
    if (times.tokensPerSecond > 0) spent.push(`${times.tokensPerSecond.toFixed(0)} tokens/s`);
    const { cachedTokens } = current.usage;
    if (!looked && cachedTokens > 0) spent.push(`${cachedTokens} tokens were known already`);
  });
  element.dataset['state'] = end;
  if (end !== 'done' && !text) into.textContent = 'No answer.';
  facts.textContent = end === 'done' ? spent.join(' · ') : end;
  if (end === 'done') announce(`Answer: ${text}`);
}

/** A conversation looks at its picture before the first question: that is counted with its answer. */
async function timesOf({ timings: times }: Answer): Promise<{ looked: boolean; times: Timings }> {
  if (!talk?.fresh) return { looked: times.vision > 0, times };
  talk.fresh = false;
  const { preprocess, vision, prefix } = (await talk.chat.scene).timings;
  const total = times.total + preprocess + vision + prefix;
  return { looked: true, times: { ...times, vision: vision + prefix, total } };
}

/** For the label at a box. */
function shortened(question: string): string {
  const plain = question.replace(/^where (is|are) |^please provide .*describes: |[?.]$/gi, '');
  return plain.length > 32 ? `${plain.slice(0, 31)}…` : plain;
}

function endTalk(): void {
  talk?.chat.dispose();
  talk = null;
}

function forget(): void {
  stop();
  endTalk();
  last = null;
  byId('log').replaceChildren();
  byId('empty').hidden = false;
  byId('clear').hidden = true;
  marks.set([]);
  byId('prompt').focus();
}
