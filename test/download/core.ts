/** The sources in the place of the built package, so that the adapter's errors are those of the download under test. */
export * from '../../packages/core/src/errors/index.ts';
export * from '../../packages/core/src/download/folder_store.ts';
