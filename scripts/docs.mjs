// `npm run docs`: the API reference of all packages, into docs/api. A public symbol without a docstring is an error.
import { run } from './run.mjs';

await run('typedoc', ['--options', 'typedoc.json']);
