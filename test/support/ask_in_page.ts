/** For `openChromium`: answers in a page, by core's sources. */
import { loadModel } from '../../packages/core/src/api/load.ts';
import { askAll, type AskInput, type Asked } from './ask_all.ts';
import { browserHost } from './browser_host.ts';

export default (input: AskInput): Promise<Asked> =>
  askAll((source, options) => loadModel(browserHost, source, options), input);
