/**
 * `llava-sp`: look at a picture and talk about it, on the user's own device.
 *
 * @module llava-sp
 */
export * from '@llava-sp/node';
export { modelUrl as demoModel } from '@llava-sp/demo-model';
