"""The goldens' tokenizer (byte-level BPE, trained on corpus.txt) and its chat template."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
# Specification section 6, vicuna_v1. Content is a string, or a list of {"type": "image"} and {"type": "text"} parts.
CHAT_TEMPLATE = (
    "{% macro text(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{% if part['type'] == 'image' %}{{ '<image>\\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endmacro %}"
    "{% if messages[0]['role'] == 'system' %}{{ text(messages[0]['content']) + ' ' }}"
    "{% else %}{{ '" + SYSTEM.replace("'", "\\'") + " ' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' + text(message['content']) + ' ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + text(message['content']) + eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<image>"]


def make_tokenizer(vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = (HERE / "corpus.txt").read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> PreTrainedTokenizerFast:
    """Writes tokenizer.json and tokenizer_config.json, and gives the tokenizer as transformers reads it."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "additional_special_tokens": ["<image>"],
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        **{k: config[k] for k in ("bos_token", "eos_token", "additional_special_tokens", "chat_template")},
        clean_up_tokenization_spaces=False,
    )


def chat_examples(tokenizer: PreTrainedTokenizerFast) -> list[dict[str, object]]:
    """Conversations and what the template makes of them."""
    image = {"type": "image"}
    question = lambda text: {"role": "user", "content": [image, {"type": "text", "text": text}]}
    answer = lambda text: {"role": "assistant", "content": [{"type": "text", "text": text}]}
    chats = [
        [question("How many objects are there?")],
        [question("How many objects are there?"), answer("5"), {"role": "user", "content": "And stars?"}],
        [
            {"role": "system", "content": "Be brief."},
            question("Is there a 'ring'?"),
            answer("Yes."),
            question("Where?"),
        ],
        [{"role": "user", "content": "No picture at all"}],
    ]
    examples = []
    for messages in chats:
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        examples.append({"messages": messages, "add_generation_prompt": True, "text": rendered})
    whole = [question("Hm?"), answer("[0.12, 0.34, 0.56, 0.78]")]
    rendered = tokenizer.apply_chat_template(whole, tokenize=False, add_generation_prompt=False)
    return examples + [{"messages": whole, "add_generation_prompt": False, "text": rendered}]


def token_examples(tokenizer: Tokenizer) -> list[dict[str, object]]:
    """Texts with their ids (no beginning-of-sequence token) and the text that decoding gives back."""
    texts = [
        "",
        " ",
        "the green triangle",
        " the green triangle",
        "[0.12, 0.34, 0.56, 0.78]",
        "\n\n  two lines\n\tand a tab ",
        "naïve Ångström, 東京 🙂 👩‍👩‍👧 e\u0301",
        "USER: <image>\nWhat? ASSISTANT:",
        "it's can't 12345 !!??",
        "Yes.</s>USER: And?",
    ]
    examples = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        examples.append({
            "text": text,
            "ids": ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=True),
            "decodedWithSpecial": tokenizer.decode(ids, skip_special_tokens=False),
        })  # fmt: skip
    return examples
