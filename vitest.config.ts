import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** They take minutes, the longest first: what starts last is not left over for one core. */
const LONG = [
  'conformance/webgpu.test.ts',
  'runtime/webgpu_golden.test.ts',
  'runtime/demo_everywhere.test.ts',
  'bench/bundle.test.ts',
  'runtime/webgpu_demo.test.ts',
  'runtime/soak.test.ts',
  'models/published.test.ts',
  'playground/mishaps.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(name));
      return at < 0 ? LONG.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The suites start worker threads of their own; two cores are the common case.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});
