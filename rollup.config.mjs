// The browser bundle: one self-contained ES module of core. The browser adapter, which gives it a Host, comes with
// packages/browser; until then this builds core alone, which shows that core depends on no runtime.
export default {
  input: 'packages/core/dist/index.js',
  // Loaded when the first image of a format comes; an application's bundler resolves them.
  external: [/^@jsquash\//, 'jpeg-js', /^@huggingface\//],
  output: { file: 'packages/core/dist/core.bundle.js', format: 'es', inlineDynamicImports: true },
};
