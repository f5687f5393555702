/**
 * The functions of GLSL that gpu.js's kernels call. gpu.js reads single floats and computes an index for each; these read whole
 * texels by their place.
 *
 * Layouts, in texels of four floats: x `[rows, k / 4]`; w transposed, `[k, n / 4]`, so that neighbours read neighbours; the
 * product in four textures, of rows 4i, 4i + 1, 4i + 2, 4i + 3.
 */
import type { Activation } from '../../ops/index.ts';

export interface NativeFunction {
  readonly name: string;
  readonly source: string;
  readonly argumentTypes: Readonly<Record<string, string>>;
}

const TEXTURE = 'ArrayTexture(4)';

/** gpu.js passes a texture as three parameters. */
const sampler = (name: string): string => `sampler2D ${name}, ivec2 ${name}Size, ivec3 ${name}Dim`;

/**
 * Four rows and four columns a fragment: eight texels are read for 64 multiply-adds. The other three rows are fetched by
 * `row1`, `row2`, `row3`, for gpu.js writes what passes through a function to a target of its own.
 */
const product: NativeFunction = {
  name: 'product',
  argumentTypes: { x: TEXTURE, w: TEXTURE, texels: 'Float' },
  source: `vec4 sum1, sum2, sum3;
vec4 product(${sampler('x')}, ${sampler('w')}, float texels) {
  ivec2 at = ivec2(gl_FragCoord.xy);
  int row = 4 * at.y;
  vec4 sum0 = vec4(0.0);
  sum1 = sum2 = sum3 = vec4(0.0);
  int count = int(texels);
  for (int k = 0; k < count; k++) {
    mat4 m = mat4(
      texelFetch(w, ivec2(at.x, 4 * k), 0), texelFetch(w, ivec2(at.x, 4 * k + 1), 0),
      texelFetch(w, ivec2(at.x, 4 * k + 2), 0), texelFetch(w, ivec2(at.x, 4 * k + 3), 0));
    sum0 += m * texelFetch(x, ivec2(k, row), 0);
    sum1 += m * texelFetch(x, ivec2(k, row + 1), 0);
    sum2 += m * texelFetch(x, ivec2(k, row + 2), 0);
    sum3 += m * texelFetch(x, ivec2(k, row + 3), 0);
  }
  return sum0;
}
vec4 row1() { return sum1; }
vec4 row2() { return sum2; }
vec4 row3() { return sum3; }`,
};

const rows = ['row1', 'row2', 'row3'].map((name): NativeFunction => ({
  name,
  source: '',
  argumentTypes: {},
}));

/** Flat floats, which gpu.js packs into a texture of any shape, to texels `[rows, width]`. */
const lift: NativeFunction = {
  name: 'lift',
  argumentTypes: { values: 'Input', width: 'Float' },
  source: `vec4 lift(${sampler('values')}, float width) {
  ivec2 at = ivec2(gl_FragCoord.xy);
  int i = at.y * int(width) + at.x;
  return texelFetch(values, ivec2(i % valuesSize.x, i / valuesSize.x), 0);
}`,
};

/** exp overflows past 88, which GLSL leaves undefined: there the quotient is 0 long since. */
const SIGMOID = `float sigmoid(float x) { return 1.0 / (1.0 + exp(min(-x, 80.0))); }\n`;

/** Bodies of `float activate(float x)`, and what they call. The same approximations as in `wgsl/shared/act.wgsl`. */
const ACTIVATIONS: Readonly<Record<Activation, { readonly body: string; readonly before?: string }>> = {
  none: { body: 'return x;' },
  relu: { body: 'return max(x, 0.0);' },
  silu: { before: SIGMOID, body: 'return x * sigmoid(x);' },
  quick_gelu: { before: SIGMOID, body: 'return x * sigmoid(1.702 * x);' },
  gelu_tanh: {
    before: SIGMOID,
    body: `float c = clamp(x, -30.0, 30.0);
  return x * sigmoid(c * (c * c * 0.07135481282 + 1.5957691216));`,
  },
  gelu: {
    body: `float size = min(abs(x), 13.0);
  float t = 1.0 / (size * 0.318198052 + 1.0);
  float y = -0.03369048237800598;
  y = y * t + 0.14965663850307465;
  y = y * t - 0.20657476782798767;
  y = y * t + 0.021254219114780426;
  y = y * t + 0.07406274229288101;
  y = y * t + 0.07098861038684845;
  y = y * t + 0.19105342030525208;
  y = y * t + 0.2251574695110321;
  y = y * t + 0.2542223632335663;
  y = y * t + 0.25386977195739746;
  float tail = 0.5 * y * t * exp(-0.5 * size * size);
  return x * (x >= 0.0 ? 1.0 - tail : tail);`,
  },
};

/** The four textures of a product to one, `[rows, n / 4]`, with bias and activation. */
function finish(act: Activation): NativeFunction {
  const { body, before = '' } = ACTIVATIONS[act];
  return {
    name: `finish_${act}`,
    argumentTypes: { y0: TEXTURE, y1: TEXTURE, y2: TEXTURE, y3: TEXTURE, bias: TEXTURE },
    source: `${before}float activate(float x) {
  ${body}
}
vec4 finish_${act}(${['y0', 'y1', 'y2', 'y3', 'bias'].map(sampler).join(', ')}) {
  ivec2 at = ivec2(gl_FragCoord.xy);
  ivec2 from = ivec2(at.x, at.y / 4);
  int row = at.y - 4 * from.y;
  vec4 v = texelFetch(bias, ivec2(at.x, 0), 0);
  if (row == 0) v += texelFetch(y0, from, 0);
  else if (row == 1) v += texelFetch(y1, from, 0);
  else if (row == 2) v += texelFetch(y2, from, 0);
  else v += texelFetch(y3, from, 0);
  return vec4(activate(v.x), activate(v.y), activate(v.z), activate(v.w));
}`,
  };
}

export const nativeFunctions: readonly NativeFunction[] = [
  product,
  ...rows,
  lift,
  ...(Object.keys(ACTIVATIONS) as Activation[]).map(finish),
];

/** Kernels in the JavaScript that gpu.js translates: as text, so that no minifier renames what they call. */
export const LIFT = 'function liftKernel(values, width) { return lift(values, width); }';
export const PRODUCT = `function productKernel(x, w, texels) {
  const y = product(x, w, texels);
  second(row1());
  third(row2());
  fourth(row3());
  return y;
}`;
/** Their results, in the order of the rows: the kernel's own is `result`. */
export const PARTS = ['result', 'second', 'third', 'fourth'] as const;
export const PART_FUNCTIONS: Readonly<Record<string, string>> = Object.fromEntries(
  PARTS.slice(1).map((name) => [name, `function ${name}(v) { return v; }`]),
);
export const finishKernel = (act: Activation): string =>
  `function finishKernel(y0, y1, y2, y3, bias) { return finish_${act}(y0, y1, y2, y3, bias); }`;
