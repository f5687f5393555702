// `npm run licences [-- --check]`: writes THIRD_PARTY_LICENSES.md: what people get with the packages that is not ours, under
// which licence, and why. A licence that is not known to be permissive is an error, and so is a dependency without a reason.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGES, manifestOf } from './pack.mjs';
import { root } from './run.mjs';

/** Where the list lies: for readers of the repository, and in the package that has others' code in its files. */
const FILES = ['THIRD_PARTY_LICENSES.md', 'packages/browser/THIRD_PARTY_LICENSES.md'];

const PERMISSIVE = new Set([
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'IJG',
  'Zlib',
  'NCSA',
]);

/** Why our packages depend on these; of what they bring themselves, it is said who brings it. */
const REASONS = {
  '@huggingface/jinja': 'chat templates as Hugging Face defines them',
  '@huggingface/tokenizers': "tokenisation equal to Hugging Face's",
  '@jsquash/avif': 'decodes AVIF',
  '@jsquash/jpeg': 'decodes JPEG',
  '@jsquash/png': 'decodes PNG',
  '@jsquash/webp': 'decodes WebP',
  'cli-progress': "the command line's progress bar",
  'gpu.js': 'optional, installed by who wants it: matrix products on WebGL2',
  'hash-wasm': 'SHA-256 of downloads while they arrive',
  'jpeg-js': 'decodes CMYK JPEG',
  pbf: "SentencePiece's tokenizer.model",
  undici: 'HTTP in Node',
  webgpu: 'optional, installed by who wants it: WebGPU in Node',
  yauzl: "the zip container of torch's files",
};

/** Dependencies whose code is in the files of @llava-sp/browser. */
const BUNDLED = /^(@huggingface\/|@jsquash\/|hash-wasm$|jpeg-js$|wasm-feature-detect$)/;

const BSD_2 = (owner) => `${owner} All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following
conditions are met:

1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following
   disclaimer in the documentation and/or other materials provided with the distribution.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING,
BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT
SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE
OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.`;

/** What the decoders' WASM files are built from. */
const UPSTREAMS = [
  {
    name: 'mozjpeg',
    licence: 'IJG AND BSD-3-Clause AND Zlib',
    within: '@jsquash/jpeg',
    text: `This software is based in part on the work of the Independent JPEG Group.\n\n${codecLicence('jpeg')}`,
  },
  { name: 'libwebp', licence: 'BSD-3-Clause', within: '@jsquash/webp', text: codecLicence('webp') },
  {
    name: 'libavif',
    licence: 'BSD-2-Clause',
    within: '@jsquash/avif',
    text: BSD_2('Copyright 2019 Joe Drago.'),
  },
  {
    name: 'libaom',
    licence: 'BSD-2-Clause',
    within: '@jsquash/avif',
    text: BSD_2('Copyright (c) 2016, Alliance for Open Media.'),
  },
  { name: 'png (Rust)', licence: 'MIT OR Apache-2.0', within: '@jsquash/png' },
  { name: 'Emscripten, musl', licence: 'MIT', within: '@jsquash/avif, jpeg and webp' },
];

const dependencies = collect();
for (const { name, licence } of [...dependencies.values(), ...UPSTREAMS]) checkLicence(name, licence);
const text = render();
let stale = false;
for (const file of FILES) {
  const path = join(root, file);
  if (!process.argv.includes('--check')) writeFileSync(path, text);
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`${file} is not what npm run licences writes.`);
    stale = true;
  }
}
process.exitCode = stale ? 1 : 0;

/** Every package that an installation of ours brings, by name and version. */
function collect() {
  const found = new Map();
  const visit = (name, from, by, isOptional) => {
    const nested = join(from, 'node_modules', name);
    const folder = existsSync(nested) ? nested : join(root, 'node_modules', name);
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const key = `${name} ${manifest.version}`;
    if (found.has(key)) return;
    const reason = REASONS[name] ?? (PACKAGES.includes(by) ? undefined : `of ${by}`);
    if (!reason) throw new Error(`${name} is a dependency of ${by}: say why in scripts/licences.mjs`);
    const { version, license } = manifest;
    found.set(key, { name, version, licence: license, reason, isOptional, text: licenceOf(folder) });
    // Who wants an optional one installs what it brings, too.
    if (isOptional) return;
    for (const other of Object.keys(manifest.dependencies ?? {})) visit(other, folder, name, false);
  };
  for (const name of PACKAGES) {
    const { dependencies: wanted = {}, peerDependencies = {} } = manifestOf(name);
    const folder = join(root, 'packages', name);
    for (const other of Object.keys(wanted)) if (!isOurs(other)) visit(other, folder, name, false);
    for (const other of Object.keys(peerDependencies)) visit(other, folder, name, true);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isOurs(name) {
  return name === 'llava-sp' || name.startsWith('@llava-sp/');
}

function licenceOf(folder) {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  return file ? readFileSync(join(folder, file), 'utf8') : '';
}

function codecLicence(name) {
  return readFileSync(join(root, 'node_modules/@jsquash', name, 'codec/LICENSE.codec.md'), 'utf8');
}

/** All of it permissive, or of alternatives one. */
function checkLicence(name, licence) {
  const isFine = (term) => PERMISSIVE.has(term.replace(/[()]/g, '').trim());
  const permitted = String(licence)
    .split(' OR ')
    .some((all) => all.split(' AND ').every(isFine));
  if (!permitted) throw new Error(`${name} is under ${licence}, which is not known to be permissive`);
}

function render() {
  const listed = [...dependencies.values()];
  const needed = listed.filter(({ isOptional }) => !isOptional);
  const row = ({ name, version, licence, reason }) => `| ${name} | ${version} | ${licence} | ${reason} |`;
  const table = (items) =>
    ['| package | version | licence | why |', '|---|---|---|---|', ...items.map(row)].join('\n');
  const texts = new Map();
  for (const { name, text: words } of [...needed, ...UPSTREAMS]) {
    const same = words?.replace(/\r/g, '').trim();
    if (same) texts.set(same, [...(texts.get(same) ?? []), name]);
  }
  return `# Third-party licences

Written by \`npm run licences\`. llava-sp itself is under the MIT licence (LICENSE), and so is all that these packages hold of its own:
the code, the kernels and their WASM builds, which no other code is linked into, and the demo model. Its weights were trained
from scratch on scenes that a program in this repository (\`packages/demo-model/recipe\`) draws of shapes, words and open icon sets;
\`packages/demo-model/recipe/icons/LICENSES.md\` lists the sets, none of which is in a package. The pictures in \`benchmark\` of
@llava-sp/demo-model show such scenes: authors and licences of the sets are in \`ATTRIBUTION.md\` beside them. So do two pictures of
the repository's \`examples/images\`, which no package holds; the others there show shapes alone, which are the program's own. Weights
that the authors of LLaVA-SP publish (CC BY-NC 4.0) are in none of them.

## In the files of @llava-sp/browser, and installed with the other packages

${table(needed.filter(({ name }) => BUNDLED.test(name)))}

Within the decoders' WASM files:

| part | of | licence |
|---|---|---|
${UPSTREAMS.map(({ name, within, licence }) => `| ${name} | ${within} | ${licence} |`).join('\n')}

## Installed in Node

${table(needed.filter(({ name }) => !BUNDLED.test(name)))}

## Optional

${table(listed.filter(({ isOptional }) => isOptional))}

## Texts

${[...texts].map(([words, names]) => `### ${names.join(', ')}\n\n\`\`\`text\n${words}\n\`\`\``).join('\n\n')}
`;
}
