/** Published checkpoints to on-device folders. */
export {};
