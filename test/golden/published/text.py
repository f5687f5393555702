"""Tokenizers as they are published (SentencePiece's tokenizer.model, Qwen2's byte-level BPE), and the prompts."""

import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizer import CHAT_TEMPLATE, SYSTEM

HERE = Path(__file__).parent
CORPUS = (HERE.parent / "corpus.txt").read_text(encoding="utf-8").splitlines()
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
INTERN_SPECIAL = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
# The published conversation "Hermes-2" of InternVL2-1B: no line break after <|im_end|>.
INTERN_SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
IMAGE = "<image>"


def sentencepiece_model() -> bytes:
    """A BPE model of 400 pieces in LLaMA's settings: bytes for what it does not know, digits apart, nothing normalised."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", vocab_size=400, byte_fallback=True,
        character_coverage=0.995, num_threads=1, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, split_digits=True,
        allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, normalization_rule_name="identity",
        add_dummy_prefix=True, minloglevel=2,
    )  # fmt: skip
    return out.getvalue()


def llama_tokenizer_config() -> dict[str, object]:
    """tokenizer_config.json of vicuna-7b-v1.5."""
    token = lambda content: {
        "__type": "AddedToken", "content": content, "lstrip": False, "normalized": False, "rstrip": False,
        "single_word": False,
    }  # fmt: skip
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": token("<s>"),
        "clean_up_tokenization_spaces": False,
        "eos_token": token("</s>"),
        "legacy": False,
        "model_max_length": 4096,
        "pad_token": None,
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": token("<unk>"),
    }


def llama_tokenizer(model: bytes, added: list[str]) -> Tokenizer:
    """The fast tokenizer in the form that llava-hf's tokenizer.json has; ``added`` go behind the pieces."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges_of(pieces, vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
    )
    special = ["<unk>", "<s>", "</s>", *added]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


def merges_of(pieces: sentencepiece.SentencePieceProcessor, vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Every split of a piece into two pieces, by the piece's rank; splits of one piece by the ranks of their halves."""
    plain = [p for p in vocab if not (pieces.is_control(vocab[p]) or pieces.is_unknown(vocab[p]) or pieces.is_byte(vocab[p]))]
    known = set(plain)
    merges = []
    for piece in sorted(plain, key=vocab.get):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        fitting = [s for s in splits if s[0] in known and s[1] in known]
        merges += sorted(fitting, key=lambda s: (vocab[s[0]], vocab[s[1]]))
    return merges


def qwen_tokenizer(added: list[str]) -> Tokenizer:
    """Byte-level BPE of 320 tokens in Qwen2's settings, the special tokens behind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in [*QWEN_SPECIAL, *added]])
    return tokenizer


def save_qwen(tokenizer: Tokenizer, folder: Path, fast: bool) -> None:
    """vocab.json, merges.txt and added_tokens.json as Qwen2Tokenizer has them; ``fast``: tokenizer.json too."""
    tokenizer.model.save(str(folder))
    base = len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    added = {t.content: i for i, t in sorted(tokenizer.get_added_tokens_decoder().items()) if i >= base}
    write_json(folder / "added_tokens.json", added)
    entry = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {"content": t} | entry for t, i in added.items()},
        "additional_special_tokens": [t for t in added if t != "<|endoftext|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 8192,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    write_json(folder / "tokenizer_config.json", config)
    if fast:
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def chat_template(kind: str) -> str:
    """Jinja: "vicuna" (../tokenizer.py), "chatml", or "internvl" (no line breaks between the turns)."""
    if kind == "vicuna":
        return CHAT_TEMPLATE
    image = "<img><IMG_CONTEXT></img>\\n" if kind == "internvl" else f"{IMAGE}\\n"
    system = INTERN_SYSTEM if kind == "internvl" else "You are a helpful assistant."
    end = "<|im_end|>" if kind == "internvl" else "<|im_end|>\\n"
    return (
        "{% macro text(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
        f"{{% if part['type'] == 'image' %}}{{{{ '{image}' }}}}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
        "{% endfor %}{% endif %}{% endmacro %}"
        "{% if messages[0]['role'] != 'system' %}"
        f"{{{{ '<|im_start|>system\\n{system}{end}' }}}}{{% endif %}}"
        "{% for message in messages %}"
        f"{{{{ '<|im_start|>' + message['role'] + '\\n' + text(message['content']) + '{end}' }}}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def prompt(kind: str, question: str) -> tuple[str, str, str]:
    """What stands before the image, the text of the image's token, and what stands behind."""
    if kind == "vicuna":
        return f"{SYSTEM} USER: ", IMAGE, f"\n{question} ASSISTANT:"
    if kind == "internvl":
        before = f"<|im_start|>system\n{INTERN_SYSTEM}<|im_end|><|im_start|>user\n<img>"
        return before, "<IMG_CONTEXT>", f"</img>\n{question}<|im_end|><|im_start|>assistant\n"
    before = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    return before, IMAGE, f"\n{question}<|im_end|>\n<|im_start|>assistant\n"
