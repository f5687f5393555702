/** Where the model's files lie: a folder URL, to be passed to `load`. */
export const modelUrl = new URL('./model/', import.meta.url);

/** The benchmark of `llava-sp eval`: a folder URL. */
export const benchmarkUrl = new URL('./benchmark/', import.meta.url);
