/** Who may import whom. The rooms and their rules are described in README.md ("The house"). */
const core = '^packages/core/src/';
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      // Types that name each other (a model and its scenes) are no order of loading.
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only', 'dynamic-import'] } },
    },
    {
      name: 'errors-import-nothing',
      severity: 'error',
      from: { path: `${core}errors/` },
      to: { pathNot: `${core}errors/` },
    },
    {
      name: 'ops-and-host-import-only-errors',
      severity: 'error',
      from: { path: `${core}(ops/|host\\.ts)` },
      to: { pathNot: `${core}(ops|errors)/` },
    },
    {
      name: 'weights-image-text-know-no-backend',
      severity: 'error',
      from: { path: `${core}(weights|image|text)/` },
      to: { path: `${core}(backend|backends|models|pipeline|api|ops)/` },
    },
    {
      name: 'models-know-no-backend',
      severity: 'error',
      from: { path: `${core}models/` },
      to: { path: `${core}(backend|backends|pipeline|api|image|text)/` },
    },
    {
      name: 'model-families-do-not-know-each-other',
      severity: 'error',
      from: { path: `${core}models/(vision|spatial|llm)/` },
      to: { path: `${core}models/(vision|spatial|llm)/`, pathNot: `${core}models/$1/` },
    },
    {
      name: 'backends-know-no-model',
      severity: 'error',
      from: { path: `${core}backends/` },
      to: { path: `${core}(models|pipeline|api|image|text)/` },
    },
    {
      name: 'reference-knows-the-ops-alone',
      severity: 'error',
      from: { path: `${core}reference/` },
      to: { pathNot: `${core}(reference|ops|backend|errors)/` },
    },
    {
      // It would double the size of what every page loads: it comes by import() with the self-test.
      name: 'reference-for-the-self-test-and-tests-alone',
      severity: 'error',
      from: { path: core, pathNot: `${core}(reference|backends/webgpu/self_test)/` },
      to: { path: `${core}reference/` },
    },
    {
      name: 'self-test-loads-when-it-is-needed',
      severity: 'error',
      from: { path: core, pathNot: `${core}(doctor|backends/webgpu/self_test)/` },
      to: { path: `${core}backends/webgpu/self_test/`, dependencyTypesNot: ['dynamic-import', 'type-only'] },
    },
    {
      // A third of the size of all other code, for what few answers ask.
      name: 'constraints-load-when-they-are-needed',
      severity: 'error',
      from: { path: core, pathNot: `${core}text/constraint/` },
      to: { path: `${core}text/constraint/`, dependencyTypesNot: ['dynamic-import', 'type-only'] },
    },
    {
      name: 'doctor-loads-when-it-is-needed',
      severity: 'error',
      from: { path: core, pathNot: `${core}doctor/` },
      to: { path: `${core}doctor/`, dependencyTypesNot: ['dynamic-import', 'type-only'] },
    },
    {
      name: 'backends-do-not-know-each-other',
      severity: 'error',
      from: { path: `${core}backends/([^/]+)/` },
      to: { path: `${core}backends/[^/]+/`, pathNot: `${core}backends/$1/` },
    },
    {
      name: 'only-api-chooses-a-backend',
      severity: 'error',
      from: { path: core, pathNot: `${core}(api|backends|doctor)/|${core}worker\\.ts` },
      to: { path: `${core}backends/` },
    },
    {
      name: 'core-knows-no-runtime',
      severity: 'error',
      from: { path: core },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'node-modules-in-the-node-adapter-alone',
      severity: 'error',
      from: { path: '^packages/(browser|deno)/src/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'adapters-see-only-the-public-core',
      severity: 'error',
      from: { path: '^packages/(node|browser|deno|convert|llava-sp)/' },
      to: { path: core, pathNot: `${core}(index|formats|calibrate|worker)\\.ts$` },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
};
