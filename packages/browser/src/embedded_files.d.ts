/** Made by rollup.config.mjs: a file of `dist`, deflated, in base64. */
declare module 'embedded:*' {
  const deflated: string;
  export default deflated;
}
