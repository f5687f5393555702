/** Where the model's files lie: a folder URL, to be passed to `load`. */
export declare const modelUrl: URL;
/** The benchmark of `llava-sp eval`: a folder URL. */
export declare const benchmarkUrl: URL;
