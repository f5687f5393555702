/** Apart, so that it is loaded when the first byte is downloaded, and nothing else of the library with it. */
export { createSHA256 } from 'hash-wasm';
