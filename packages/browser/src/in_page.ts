/** All that computes: loaded by pages that want it in their own thread. */
export { doctor, loadModel } from '@llava-sp/core';
