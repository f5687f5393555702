/** `llava-sp` in Deno. */
export * from '@llava-sp/deno';
export { modelUrl as demoModel } from '@llava-sp/demo-model';
