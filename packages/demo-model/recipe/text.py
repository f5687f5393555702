"""The tokenizer (byte-level BPE in the Hugging Face format) and the prompt.

Words of the world come out as one token each, and so does every two-decimal coordinate: a box is nine tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from . import tasks, world
from .kinds import COLOUR_NAMES, WORDS
from .tasks import view

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"
SPECIAL = (PAD, BOS, EOS, IMAGE)
BEFORE_IMAGE = "USER: "
COORDINATES = tuple(f"{i / 100:.2f}" for i in range(101))
# A coordinate, a comma with its space, a word, a number, a symbol, white space. Each with one leading space at most.
SPLIT = r"[0-9]\.[0-9][0-9]|, | ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]|\s+"
VOCABULARY = 2048
SCENES = 1500
EXTRA_WORDS = (
    "Hello Hi What What's Which Who Why When How Are Is Do Does Can Could Tell Show Give Name List Please Where Where's there "
    "are any some me about of in on at the a an and or not no yes with to from it its this that picture photo image scene "
    "background colour color colours colors shape shapes size sizes object objects thing things item items many much number "
    "big bigger biggest small smaller smallest tiny medium large larger largest left right top bottom above below under over "
    "near next between behind front centre center middle corner where you see one two three four five six seven eight nine "
    "ten zero none nothing word words text read written says animal animals fruit fruits bird birds"
).split()


def nouns() -> list[str]:
    """All single words that name something, singular and plural."""
    found = [form for noun in view.NOUNS for form in (noun, tasks.question.plural(noun))]
    return list(dict.fromkeys(word for noun in found for word in noun.split()))


def build() -> Tokenizer:
    """Train the BPE on the world's own language: merges go on until every word that occurs is one token."""
    rng, draw = np.random.default_rng(7), Random(7)
    lines = [f"[{c}, {c}]" for c in COORDINATES] * 40
    for _ in range(SCENES):
        scene = world.sample_scene(rng, 64, 64)
        if scene.things:
            for q in tasks.ask_all(draw, scene, 12) + tasks.dialogue(draw, scene):
                lines.append(f"USER: \n{q.prompt} ASSISTANT: {q.answer}")
    known = [*COLOUR_NAMES, *world.SIZE_NAMES, *nouns(), *EXTRA_WORDS]
    lines += [f" {w}, {w}" for w in known for _ in range(12)]
    lines += [f' {w}, "{w}"' for w in WORDS for _ in range(20)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


class Text:
    """Encoding of prompts and answers for training and evaluation."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.pad, self.bos, self.eos, self.image = (tokenizer.token_to_id(s) for s in SPECIAL)
        self.coordinates = [tokenizer.token_to_id(c) for c in COORDINATES]
        if None in self.coordinates:
            raise ValueError("the tokenizer lacks a coordinate")
        self.head = [self.bos, *self.encode(BEFORE_IMAGE)]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def prompt_text(self, question: str, first: bool = True) -> str:
        """What stands after the picture (first turn), or after the previous answer's end."""
        return f"\n{question} ASSISTANT:" if first else f"USER: {question} ASSISTANT:"

    def prompt(self, question: str, first: bool = True) -> list[int]:
        return self.encode(self.prompt_text(question, first))

    def answer(self, answer: str) -> list[int]:
        return [*self.encode(" " + answer), self.eos]

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode([i for i in ids if i >= len(SPECIAL)]).strip()


def load_or_build(path: Path) -> Tokenizer:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        build().save(str(path))
    return Tokenizer.from_file(str(path))


CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' }}{% else %}{{ 'ASSISTANT: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}{{ '<image>\\n' }}{% elif item['type'] == 'text' %}{{ item['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ ' ' }}{% else %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "chat_template": CHAT_TEMPLATE,
    }


if __name__ == "__main__":
    print(json.dumps(build().get_vocab_size()))
