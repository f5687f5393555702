/** For `runInDeno`: answers in Deno, by the built package. */
import { load } from '@llava-sp/deno';
import { askAll, type AskInput, type Asked } from './ask_all.ts';

export default (input: AskInput): Promise<Asked> => askAll(load, input);
