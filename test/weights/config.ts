type Json = Record<string, unknown>;

/** LLaVA-SP-Cropping on Vicuna-7B, as published, quantised. */
export function validConfig(): Json {
  return {
    model_type: 'llava_sp',
    architectures: ['LlavaSpForConditionalGeneration'],
    image_token_index: 31_999,
    vision_feature_layer: -2,
    vision_feature_select_strategy: 'default',
    projector_hidden_act: 'gelu',
    image_aspect_ratio: 'pad',
    vision_config: {
      model_type: 'clip_vision_model',
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_channels: 3,
      image_size: 336,
      patch_size: 14,
      hidden_act: 'quick_gelu',
      layer_norm_eps: 1e-5,
    },
    text_config: {
      model_type: 'llama',
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      vocab_size: 32_000,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      max_position_embeddings: 4096,
      tie_word_embeddings: false,
      attention_bias: false,
      hidden_act: 'silu',
      bos_token_id: 1,
      eos_token_id: 2,
    },
    spatial_config: {
      type: 'cropping',
      num_tokens: 6,
      feature_size: 512,
      detail: { kernel_size: 16, stride: 2 },
    },
    quantization: {
      group_size: 64,
      bits: 4,
      'language_model.lm_head': { group_size: 64, bits: 8 },
      'multi_modal_projector.linear_1': false,
    },
  };
}

/** Sets the field at a dotted path; `undefined` removes it. */
export function set(json: Json, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce((object, key) => object[key] as Json, json);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
}
