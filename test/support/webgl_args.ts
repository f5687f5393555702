/** Chromium's WebGL2 on a machine without a GPU. */
export const WEBGL_ARGS: readonly string[] = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
