"""The tokenizer (byte-level BPE in the Hugging Face format) and the prompt.

Words of the world come out as one token each, and so does every two-decimal coordinate: a box is nine tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from . import tasks, world

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"
SPECIAL = (PAD, BOS, EOS, IMAGE)
BEFORE_IMAGE = "USER: "
COORDINATES = tuple(f"{i / 100:.2f}" for i in range(101))
# A coordinate, a comma with its space, a word, a number, a symbol, white space. Each with one leading space at most.
SPLIT = r"[0-9]\.[0-9][0-9]|, | ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]|\s+"
EXTRA_WORDS = (
    "Hello Hi What What's Which Who Why When How Are Is Do Does Can Could Tell Show Give Name List Please there are any some "
    "me about of in on at the a an and or not no yes with to from it its this that picture photo image scene background "
    "colour color colours colors shape shapes size sizes object objects thing things many much number big bigger biggest "
    "small smaller tiny large larger largest left right top bottom above below under over near next between where you see "
    "one two three four five six seven eight nine ten zero none nothing"
).split()


def build() -> Tokenizer:
    """Train the BPE on the world's own language: merges go on until every word that occurs is one token."""
    rng = np.random.default_rng(7)
    lines = [f"[{c}, {c}]" for c in COORDINATES] * 40
    for _ in range(4000):
        scene = world.sample_scene(rng, 144, 144)
        if scene.things:
            for q in tasks.ask_all(rng, scene, 6):
                lines += [f"USER: \n{q.prompt} ASSISTANT: {q.answer}"]
    names = [*world.COLOUR_NAMES, *world.SHAPES, *tasks.PLURALS.values(), *world.SIZE_NAMES, *EXTRA_WORDS]
    lines += [f" {w} {w.capitalize()}\n{w.capitalize()}, {w}" for w in names for _ in range(3)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1280,
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
        # Words of the auxiliary labels' first three columns, as they stand in a sentence.
        self.names = [self.words(w) for w in (world.COLOUR_NAMES, world.SHAPES, world.SIZE_NAMES)]
        # The same words to their index; a shape's plural counts too.
        self.named = [{t: i for i, t in enumerate(ids)} for ids in self.names]
        self.named[1] |= {self.encode(f" {tasks.PLURALS[s]}")[0]: i for i, s in enumerate(world.SHAPES)}
        self.head = [self.bos, *self.encode(BEFORE_IMAGE)]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def words(self, words: tuple[str, ...]) -> list[int]:
        return [self.encode(f" {word}")[0] for word in words]

    def prompt(self, question: str, first: bool = True) -> list[int]:
        """The tokens after the picture (first turn), or after the previous answer's end."""
        return self.encode(f"\n{question} ASSISTANT:" if first else f"USER: {question} ASSISTANT:")

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
