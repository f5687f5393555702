/** `llava-sp` in browsers. */
export * from '@llava-sp/browser';
export { modelFiles as demoModel } from '@llava-sp/demo-model/browser';
