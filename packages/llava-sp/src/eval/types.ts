import type { Box } from '@llava-sp/node';

/** How a task is scored; `none`: the answers are written, for another scorer. */
export const METRICS = ['pope', 'vqa', 'refcoco', 'mmvp', 'caption', 'none'] as const;
export type Metric = (typeof METRICS)[number];

/** What is true of one question. */
export type Truth =
  | { readonly kind: 'none' }
  /** POPE: whether it is there. */
  | { readonly kind: 'yes_no'; readonly yes: boolean }
  /** VQA: one answer, or those of several people. */
  | { readonly kind: 'answers'; readonly answers: readonly string[] }
  /** RefCOCO: in pixels of the source; none where the thing is not there. */
  | { readonly kind: 'boxes'; readonly boxes: readonly Box[] }
  /** MMVP: the questions of one `pair` must all be right. `answer` is an option's letter where there are options. */
  | {
      readonly kind: 'pair';
      readonly pair: string;
      readonly options: readonly Option[];
      readonly answer: string;
    }
  | { readonly kind: 'captions'; readonly references: readonly string[] };

/** As `(a) Open`. */
export interface Option {
  /** Lower case. */
  readonly letter: string;
  readonly text: string;
}

/** One question about one picture. */
export interface Item {
  /** `question_id`, as the file has it. Not always unique: TextVQA's are those of pictures. */
  readonly id: string | number;
  /** As the file names it; the run looks for it in the task's folder of pictures. */
  readonly image: string;
  /** The question; of RefCOCO the phrase. Empty: the model's own words for the task. */
  readonly text: string;
  /** The figures of each are given apart. */
  readonly category: string | null;
  /** As `val`, `testA`; the figures of each are given apart. */
  readonly split: string | null;
  /** Of the picture, in pixels, where the file says it. */
  readonly size: { readonly width: number; readonly height: number } | null;
  readonly truth: Truth;
}

/** Questions that are scored together. */
export interface Task {
  /** Of the folder that its answers go to. */
  readonly name: string;
  readonly metric: Metric;
  readonly items: readonly Item[];
  /** The folder of the pictures. */
  readonly images: string;
  /** Added to every question, behind a newline. */
  readonly suffix: string | null;
  /** A text with `{phrase}` that asks for a box; `null`: the model's own, under its constraint. */
  readonly prompt: string | null;
  /** SHA-256 of the files that the questions came from. */
  readonly sha256: string;
}

/** What came of one question. */
export interface Answered {
  readonly item: Item;
  /** Empty where it could not be asked. */
  readonly text: string;
  /** Of RefCOCO: in pixels of the source, the first one counts. */
  readonly boxes: readonly Box[];
  /** Why it could not be asked; it counts as wrong. */
  readonly error: string | null;
}

/** A figure of a task. */
export interface Figure {
  /** 0..1 where it is a share; yes-ratio and CIDEr too are as the field gives them, without a factor of 100. */
  readonly value: number;
  /** Questions (of MMVP: pairs) that it is over. */
  readonly n: number;
  /** Wilson's 95 % interval, where the figure is a share of right ones. */
  readonly interval?: readonly [number, number];
}

/** By name, the most telling first. */
export type Figures = Readonly<Record<string, Figure>>;
