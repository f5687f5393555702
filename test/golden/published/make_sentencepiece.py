"""Writes sentencepiece.json: what SentencePiece itself makes of texts with lora-cropping/base/tokenizer.model.

Run after make_published.py: ``python make_sentencepiece.py``. ``ids`` and ``decoded`` are SentencePiece's, as LLaVA uses
it (the slow tokenizer: a dummy prefix before every text, before a leading space too). ``fast`` stands only where
transformers' converted tokenizer (Metaspace, no second prefix before a space) gives other ids. ``merges`` are those of
transformers' conversion, in order.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import transformers
from sentencepiece import SentencePieceProcessor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
MODEL = HERE / "lora-cropping" / "base" / "tokenizer.model"

TEXTS = [
    "", " ", "  ", "   a", "a   ", "the green triangle", " the green triangle", "  two  spaces  inside  ",
    "\n", "\nWhat is this? ASSISTANT:", "\n\n  two lines\n\tand a tab ", "tab\there", "\r\n",
    "[0.12, 0.34, 0.56, 0.78]", "0123456789", "it's can't 12345 !!??", "USER: ", "▁", "a▁b ▁ c",
    "naïve Ångström ÉÉ", "e\u0301 é", "東京に行きます。", "你好，世界！", "Здравствуй, мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया",
    "สวัสดี", "🙂", "👩‍👩‍👧 family", "🏳️‍🌈🇩🇪", "\u200b\u200d\ufeff", "\u00a0no-break\u3000wide", "ﬁ ligature ½ ①",
    "\u0000\u0001\u007f", "\U0010ffff\ue000", "<0x41> is a piece's name", "<unk> <s> </s>", "<image>", "</s>USER: And?",
    "A chat between a curious user and an artificial intelligence assistant.", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "thethethe the the", "x" * 200, " ".join("Is there a red star there?" for _ in range(12)),
    "MiXeD CaSe WORDS isTHISsplit", "https://example.org/a?b=c&d=e#f", "def f(x):\n    return x ** 2\n", "∑∫√≠≤ αβγδ", "\u2028\u2029",
]  # fmt: skip


def main() -> None:
    model = SentencePieceProcessor(model_file=str(MODEL))
    fast = transformers.LlamaTokenizer.from_pretrained(MODEL.parent)
    cases = []
    for text in TEXTS:
        ids = model.encode(text)
        case = {"text": text, "ids": ids, "decoded": model.decode(ids)}
        # special tokens are SentencePiece's plain text; the fast tokenizer takes them for themselves
        plain = not any(t in text for t in ("<s>", "</s>", "<unk>"))
        converted = fast.encode(text, add_special_tokens=False)
        cases.append(case | ({"fast": converted} if plain and converted != ids else {}))
    with tempfile.TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        converted = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    golden = {
        "made_by": f"make_sentencepiece.py, sentencepiece, transformers {transformers.__version__}",
        "pieces": model.vocab_size(),
        "merges": [" ".join(merge) for merge in converted["merges"]],
        "cases": cases,
    }
    (HERE / "sentencepiece.json").write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n")
    print(f"{len(cases)} cases, {sum('fast' in c for c in cases)} of them other in the fast tokenizer")


if __name__ == "__main__":
    main()
