/** What is loaded when a model is remote, and not before: pages that bring their files along go without it. */
export { downloadModel, remoteFiles } from './model.ts';
export { parseRemote } from './remote.ts';
