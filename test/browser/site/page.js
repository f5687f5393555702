// What the tests ask of a page, of a service worker and of an extension: `run(name, input)`. All values are plain.
import { jobs } from './jobs.js';

globalThis.run = async (name, input) => {
  try {
    return { value: await jobs[name](input) };
  } catch (error) {
    const { name, code, message, fix } = error;
    return { error: { name, code, message, fix, stack: error.stack } };
  }
};
