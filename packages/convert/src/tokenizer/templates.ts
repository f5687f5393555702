import type { PromptFamily } from '../contract.ts';

/** The text of a message, `image` in the place of its picture (specification section 6). */
function textMacro(image: string): string {
  return `{% macro text(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}{% if part['type'] == 'image' %}{{ '${image}\\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{% endmacro %}`;
}

const vicunaSystem =
  "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user\\'s questions.";
// InternVL2's own default; it is what the model was trained with.
const internVlSystem =
  '你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。';

/** `chat_template` of a family of prompts; `image` is the text of the image's token. */
export function chatTemplate(family: PromptFamily, image: string): string {
  switch (family) {
    case 'vicuna_v1':
      return (
        textMacro(image) +
        `{% if messages[0]['role'] == 'system' %}{{ text(messages[0]['content']) + ' ' }}{% else %}{{ '${vicunaSystem} ' }}{% endif %}` +
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'USER: ' + text(message['content']) + ' ' }}" +
        "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + text(message['content']) + eos_token }}{% endif %}{% endfor %}" +
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
      );
    case 'mistral':
      return (
        textMacro(image) +
        "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ ' ' + text(message['content']) + eos_token }}" +
        "{% else %}{{ '[INST] ' + text(message['content']) + ' [/INST]' }}{% endif %}{% endfor %}"
      );
    case 'chatml':
      return chatMl(image, 'You are a helpful assistant.', '\\n');
    case 'internvl':
      // InternVL2 joins turns without a line break.
      return chatMl(`<img>${image}</img>`, internVlSystem, '');
    default:
      return family satisfies never;
  }
}

function chatMl(image: string, system: string, end: string): string {
  return (
    textMacro(image) +
    `{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n${system}<|im_end|>${end}' }}{% endif %}` +
    `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + text(message['content']) + '<|im_end|>${end}' }}{% endfor %}` +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
  );
}
