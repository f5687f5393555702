import type { Plan } from '../contract.ts';
import type { Quantisation } from './layout.ts';
import type { ConversionReport } from './report.ts';

/** The authors' LoRA weights, and with them whatever they are merged into. */
const authorsLicence = 'CC BY-NC 4.0';

/** `README.md` of the on-device folder: what it is, where it comes from, under which licence. */
export function modelCard(
  plan: Plan,
  report: Pick<ConversionReport, 'parts' | 'total' | 'odd'>,
  { group, tries }: Quantisation,
  calibrated: boolean,
  version: string,
): string {
  const spatial = plan.config.spatial_config !== undefined;
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const parts = Object.entries(report.parts).map(
    ([part, { format, bytes, bitsPerWeight, error }]) =>
      `| ${part} | ${format} | ${mb(bytes)} | ${bitsPerWeight.toFixed(2)} | ${error.toExponential(1)} |`,
  );
  const sources = plan.sources.map(
    ({ location, name, size }) => `| ${cell(shortLocation(location))} | ${cell(name)} | ${size} |`,
  );
  const licence = plan.license
    ? `The source states: ${cell(plan.license)}.`
    : 'The source states no licence; those of its parts apply.';
  const odd =
    report.odd.length === 0
      ? ''
      : `\nIn f16 because no group size divides their rows: ${report.odd.map((name) => `\`${name}\``).join(', ')}.\n`;
  const choice = calibrated
    ? '\nCodes were chosen by what the products give on calibration pictures; the errors above are of the weights.\n'
    : '';
  return `---
library_name: llava-sp
pipeline_tag: image-text-to-text
license: ${JSON.stringify(plan.license ?? (spatial ? 'cc-by-nc-4.0' : 'other'))}
---
# ${cell(plan.layout)}, for use on devices

${cell(plan.variant)}. Converted from published weights by \`llava-sp convert\` ${version}; the weights were quantised, nothing was trained.

## Licence

${licence}${spatial ? ` The LoRA weights that the authors of LLaVA-SP publish are under ${authorsLicence}, and so is what is made from them: no commercial use.` : ''}
The licence of the language model and of the vision encoder count beside it.

## Weights

| part | format | size | bits a weight | relative error |
|---|---|---|---|---|
${parts.join('\n')}
| all | | ${mb(report.total.bytes)} | ${report.total.bitsPerWeight.toFixed(2)} | ${report.total.error.toExponential(1)} |
${odd}${choice}
Quantised matrices are in MLX's affine layout, in groups of ${group} where rows allow it, the best of ${tries} ranges each (\`llava-sp convert --group ${group} --tries ${tries}\`);
\`model.safetensors.index.json\` holds the SHA-256 of every shard.

## Sources

| from | file | bytes |
|---|---|---|
${sources.join('\n')}
`;
}

/** The last parts of a folder's path: who published what, not whose machine it lay on; an address without its secrets. */
function shortLocation(location: string): string {
  if (/^[a-z]+:\/\/|^hub:/i.test(location)) {
    return location.replace(/[?#].*$/, '').replace(/\/\/[^/]*@/, '//');
  }
  return location.split(/[\\/]/).filter(Boolean).slice(-2).join('/');
}

/** Text of a published file, in a table of this one. */
function cell(text: string): string {
  return text.replace(/[|\r\n`<>]/g, ' ');
}
