/** The model's files by name: each address is written out, so that bundlers carry the file along. To be passed to `load`. */
export declare const modelFiles: Readonly<Record<string, URL>>;
