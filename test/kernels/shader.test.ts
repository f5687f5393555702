/** Joining kernels with options: what is emitted, and that a slip in a kernel is an error and never a branch in silence. */
import { afterEach, describe, expect, test, vi } from 'vitest';

interface Generated {
  manifest: object;
  sources: Record<string, string>;
}
const fake = vi.hoisted<Generated>(() => ({
  manifest: {
    k: {
      bindings: ['w: vec4<u32>', 'y: f32 write'],
      params: ['n', 'eps: f32'],
      run: true,
      options: { FORMAT: ['q4', 'f16'], ACT: ['none', 'silu'], PAIR: [false, true], DIM: [32, 512] },
      variants: {
        plain: { set: { WG: 64, REDUCE: 'none' }, maximum: { DIM: 128 } },
        fast: { features: ['subgroups', 'shader-f16'], set: { WG: 128, REDUCE: 'subgroup' } },
      },
    },
  },
  sources: {},
}));
vi.mock('../../packages/core/src/backends/webgpu/kernels.gen.ts', () => fake);
const shader = await import('../../packages/core/src/backends/webgpu/shader.ts');

type Options = Record<string, string | number | boolean>;
const usual: Options = { FORMAT: 'q4', ACT: 'none', PAIR: false, DIM: 32 };

/** What is left of a kernel's lines behind the declarations. */
function body(
  source: string,
  options: Options = usual,
  variant = 'plain',
  shared: Record<string, string> = {},
) {
  fake.sources = { 'kernels/k.wgsl': source, ...shared };
  const { code } = compose(variant, options);
  return code.slice(code.indexOf('const DIM')).split('\n').slice(1).filter(Boolean);
}

function compose(variant: string, options: Options) {
  return shader.compose('k' as never, variant, options);
}

afterEach(() => {
  fake.sources = {};
});

describe('compose', () => {
  test('emits what variants.json declares', () => {
    fake.sources = { 'kernels/k.wgsl': 'fn main() {}' };
    const { code, name, features, constants } = compose('fast', { ...usual, PAIR: true });
    expect(code.split('\n')).toEqual([
      'enable subgroups;',
      'enable f16;',
      'struct Params {',
      '  n: u32,',
      '  eps: f32,',
      '}',
      '@group(0) @binding(0) var<uniform> p: Params;',
      'struct Run {',
      ...shader.RUN_FIELDS.map((field) => `  ${field.includes(':') ? field : `${field}: u32`},`),
      '}',
      '@group(0) @binding(1) var<uniform> run: Run;',
      '@group(0) @binding(2) var<storage, read> w: array<vec4<u32>>;',
      '@group(0) @binding(3) var<storage, read_write> y: array<f32>;',
      'const WG: u32 = 128u;',
      'const DIM: u32 = 32u;',
      'fn main() {}',
    ]);
    expect(features).toEqual(['subgroups', 'shader-f16']);
    expect(constants).toEqual({ WG: 128, REDUCE: 'subgroup' });
    expect(name).toContain('fast');
  });

  test('names differ where the code does', () => {
    fake.sources = { 'kernels/k.wgsl': '' };
    const names = new Set<string>();
    let count = 0;
    for (const variant of ['plain', 'fast']) {
      for (const FORMAT of ['q4', 'f16'])
        for (const ACT of ['none', 'silu'])
          for (const PAIR of [false, true])
            for (const DIM of [32, 512]) {
              names.add(compose(variant, { FORMAT, ACT, PAIR, DIM }).name);
              count++;
            }
    }
    expect(names.size).toBe(count);
  });

  test.each<[string, string, Options]>([
    ['a value that is not listed', 'plain', { ...usual, FORMAT: 'q8' }],
    ['an option that is missing', 'plain', { FORMAT: 'q4', ACT: 'none', PAIR: false }],
    ['an option that the kernel has not', 'plain', { ...usual, COLOUR: 'red' }],
    ['a variant that the kernel has not', 'slow', usual],
  ])('refuses %s', (_, variant, options) => {
    fake.sources = { 'kernels/k.wgsl': '' };
    expect(() => compose(variant, options)).toThrow(/k/);
  });

  test('a maximum leaves a variant out', () => {
    const plain = shader.variantOf('k' as never, 'plain');
    expect(shader.permits(plain, { DIM: 128 })).toBe(true);
    expect(shader.permits(plain, { DIM: 512 })).toBe(false);
    expect(shader.permits(shader.variantOf('k' as never, 'fast'), { DIM: 512 })).toBe(true);
  });
});

describe('#if', () => {
  test.each([
    ['FORMAT == q4', true],
    ['FORMAT == f16', false],
    ['FORMAT != f16', true],
    ['PAIR', false],
    ['!PAIR', true],
    ['DIM <= 32', true],
    ['DIM > 32', false],
    ['WG == 64', true],
    ['FORMAT == q4 && PAIR', false],
    ['FORMAT == q4 && !PAIR', true],
    ['PAIR || REDUCE == none', true],
    // && binds tighter.
    ['FORMAT == q4 || PAIR && PAIR', true],
    ['PAIR && PAIR || FORMAT == q4', true],
  ])('%s is %s', (condition, holds) => {
    expect(body(`#if ${condition}\nyes\n#else\nno\n#endif\nend`)).toEqual([holds ? 'yes' : 'no', 'end']);
  });

  test('#elif takes the first that holds, and only that', () => {
    const source = '#if PAIR\na\n#elif ACT == none\nb\n#elif FORMAT == q4\nc\n#else\nd\n#endif';
    expect(body(source)).toEqual(['b']);
    expect(body(source, { ...usual, PAIR: true })).toEqual(['a']);
    expect(body(source, { ...usual, ACT: 'silu' })).toEqual(['c']);
    expect(body(source, { ...usual, ACT: 'silu', FORMAT: 'f16' })).toEqual(['d']);
  });

  test('nests', () => {
    const source =
      '#if PAIR\n#if ACT == none\na\n#else\nb\n#endif\n#else\n#if ACT == none\nc\n#else\nd\n#endif\n#endif';
    expect(body(source)).toEqual(['c']);
    expect(body(source, { ...usual, PAIR: true, ACT: 'silu' })).toEqual(['b']);
  });

  test.each([
    ['an undeclared name', '#if COLOR == red\n#endif', /k\.wgsl:1.*COLOR/],
    ['an undeclared name behind a true one', '#if !PAIR && COLOR\n#endif', /COLOR/],
    ['an undeclared name in #elif', '#if PAIR\n#elif COLOR\n#endif', /k\.wgsl:2.*COLOR/],
    ['a condition that can not be read', '#if FORMAT = q4\n#endif', /FORMAT = q4/],
    ['an empty condition', '#if\n#endif', /can't read/],
    ['#if without #endif', '#if PAIR', /endif/],
    ['#endif without #if', '#endif', /k\.wgsl:1/],
    ['#else without #if', '#else', /k\.wgsl:1/],
    ['#elif without #if', '#elif PAIR', /k\.wgsl:1/],
    ['an unknown directive', '#define X', /#define X/],
  ])('%s is an error', (_, source, message) => {
    expect(() => body(source)).toThrow(message);
  });
});

describe('#include', () => {
  test('comes once, and sees the same names', () => {
    const shared = {
      'shared/a.wgsl': '#include "shared/b.wgsl"\na',
      'shared/b.wgsl': '#if PAIR\npair\n#else\nsingle\n#endif',
    };
    const source = '#include "shared/b.wgsl"\n#include "shared/a.wgsl"\n#include "shared/a.wgsl"\nend';
    expect(body(source, usual, 'plain', shared)).toEqual(['single', 'a', 'end']);
  });

  test('is left out with its branch', () => {
    expect(body('#if PAIR\n#include "shared/none.wgsl"\n#endif\nend')).toEqual(['end']);
  });

  test('of a file that is not there is an error', () => {
    expect(() => body('#include "shared/none.wgsl"')).toThrow(/shared\/none\.wgsl/);
  });

  test('a kernel that is not there is an error', () => {
    expect(() => compose('plain', usual)).toThrow(/kernels\/k\.wgsl/);
  });
});
