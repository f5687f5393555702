/** Low-rank adapters: on which weights, with which factor, and what does not fit. */
import { describe, expect, test } from 'vitest';
import { openPlan } from '../../packages/convert/src/plan.ts';
import { failure, json, safetensors } from '../weights/files.ts';
import { adapterConfig, adapterDrafts, loraFolders, withPlan } from './tiny_published.ts';

describe('adapters', () => {
  test('each on its weight, with alpha over rank', () =>
    withPlan(loraFolders(), (plan) => {
      const adapted = plan.tensors.filter(({ lora }) => lora);
      expect(adapted.map(({ name }) => name)).toEqual([
        'language_model.model.layers.0.self_attn.q_proj.weight',
      ]);
      expect(adapted[0].lora).toMatchObject({ scale: 2, a: { shape: [2, 8] }, b: { shape: [8, 2] } });
    }));

  const scaled: [string, object, number][] = [
    ['rank-stabilised', { use_rslora: true }, 4 / Math.sqrt(2)],
    ['alpha of its own', { alpha_pattern: { q_proj: 6 } }, 3],
    ['rank of its own', { r: 8, rank_pattern: { 'self_attn.q_proj': 2 } }, 2],
  ];
  test.each(scaled)('%s', (_, change, scale) =>
    withPlan(loraFolders({ 'adapter_config.json': json({ ...adapterConfig, ...change }) }), (plan) => {
      expect(plan.tensors.find(({ lora }) => lora)?.lora?.scale).toBe(scale);
    }),
  );

  const [a, b] = Object.keys(adapterDrafts());
  const drafts = adapterDrafts();
  const other = (name: string) => name.replace('q_proj', 'rotary');
  const wrong: [string, object, object, RegExp][] = [
    ['of another rank than its configuration', { r: 4 }, {}, /lora_A\.weight" must be \[4, 8\]/],
    [
      'whose B has another rank',
      {},
      { [b]: { dtype: 'F16', shape: [8, 3] } },
      /lora_B\.weight" must be \[8, 2\]/,
    ],
    ['too wide for its weight', {}, { [a]: { dtype: 'F16', shape: [2, 9] } }, /must be \[2, 8\]/],
    ['with A alone', {}, { [b]: undefined }, /lora_A without lora_B/],
    ['on a weight that is not there', {}, { [other(a)]: drafts[a], [other(b)]: drafts[b] }, /rotary/],
    [
      'with magnitudes',
      {},
      { [a.replace('lora_A', 'lora_magnitude_vector')]: drafts[a] },
      /kind that is not known/,
    ],
    ['DoRA', { use_dora: true }, {}, /use_dora/],
    ['transposed', { fan_in_fan_out: true }, {}, /fan_in_fan_out/],
    ['with biases', { bias: 'all' }, {}, /biases/],
    ['of another kind', { peft_type: 'IA3' }, {}, /IA3/],
    ['that changed its base', { init_lora_weights: 'pissa_niter_4' }, {}, /pissa/],
  ];
  test.each(wrong)('refused: %s', async (_, config, tensors, message) => {
    const kept = Object.entries<(typeof drafts)[string]>({ ...adapterDrafts(), ...tensors }).filter(
      ([, draft]) => draft,
    );
    const folders = loraFolders({
      'adapter_config.json': json({ ...adapterConfig, ...config }),
      'adapter_model.safetensors': safetensors(Object.fromEntries(kept)),
    });
    const error = await failure(() => openPlan(folders));
    expect(error.code).toBe('ADAPTER_INVALID');
    expect(error.message).toMatch(message);
  });

  test('a pattern that is a regular expression is not run', async () => {
    const config = json({ ...adapterConfig, rank_pattern: { '(a+)+$': 2 } });
    const error = await failure(() => openPlan(loraFolders({ 'adapter_config.json': config })));
    expect(error.code).toBe('CONFIG_INVALID');
  });

  test('without the base model', async () => {
    const { checkpoint, visionTower } = loraFolders();
    const error = await failure(() => openPlan({ checkpoint, visionTower }));
    expect(error).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    expect(error.message).toMatch(/adapter/);
    expect(error.fix).toMatch(/base/);
  });
});
