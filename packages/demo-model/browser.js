/** The model's files by name: each address is written out, so that bundlers carry the file along. To be passed to `load`. */
export const modelFiles = {
  'config.json': new URL('./model/config.json', import.meta.url),
  'generation_config.json': new URL('./model/generation_config.json', import.meta.url),
  'model.safetensors': new URL('./model/model.safetensors', import.meta.url),
  'preprocessor_config.json': new URL('./model/preprocessor_config.json', import.meta.url),
  'tokenizer.json': new URL('./model/tokenizer.json', import.meta.url),
  'tokenizer_config.json': new URL('./model/tokenizer_config.json', import.meta.url),
};
