"""The loss of stage 2: the answers, and the teaching losses beside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import teaching
from .decoder import Rows, Watched
from .reader import Reader
from .segments import NOWHERE, TASK_NUMBERS
from .teaching import ANSWER, GATHER, LOOK
from .text import Text
from .world import COLOUR_NAMES, KINDS, SIZE_NAMES

COORDINATE_SIGMA = 1.5  # hundredths: a coordinate's neighbours share its mass, as a box off by 0.01 is nearly right
TEACHING_WEIGHT = 0.4
LITTLE = 0.2  # tokens of an answer that weigh no more, commas and ends, are not guided
COUNT_TASKS = torch.tensor([name.startswith("count") for name in TASK_NUMBERS])


class JointLoss:
    """What the loss needs of the tokenizer."""

    def __init__(self, text: Text, device: torch.device) -> None:
        self.head = torch.tensor(text.head, device=device)
        self.coordinates = torch.tensor(text.coordinates, device=device)
        steps = torch.arange(len(text.coordinates), device=device, dtype=torch.float32)
        mass = torch.exp(-((steps[:, None] - steps[None]) ** 2) / (2 * COORDINATE_SIGMA**2))
        self.mass = mass / mass.sum(-1, keepdim=True)
        self.slot = torch.full((text.tokenizer.get_vocab_size(),), -1, device=device)
        self.slot[self.coordinates] = torch.arange(len(text.coordinates), device=device)
        names = [[text.encode(f" {w}") for w in words] for words in (KINDS, COLOUR_NAMES, SIZE_NAMES)]
        self.names = [name_weights(ids, len(self.slot)).to(device) for ids in names]
        self.counts = COUNT_TASKS.to(device)

    def answers(self, reader: Reader, patches: Tensor, batch: dict[str, Tensor], watch: tuple[int, ...]) -> Answers:
        """Patch features [B, P, C] and a batch of segments.py to the logits of all answers' tokens."""
        lm = reader.language_model
        table = lm.model.embed_tokens.table()
        picture, tokens = reader.picture(F.embedding(self.head, table), patches)
        of = batch["scene"].bincount(minlength=len(patches)).tolist()
        rows = lm.rows(of, picture.shape[1], batch["segment"], batch["position"])
        questions = F.embedding(batch["ids"], table)
        states, watched = lm(picture, questions, rows, batch["answer_at"], watch)
        return Answers(F.linear(states, table), table, tokens, rows, watched)

    def __call__(self, reader: Reader, patches: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss, and figures for the log."""
        given = self.answers(reader, patches, batch, (LOOK, GATHER, ANSWER))
        loss, figures = self.answer_loss(given.logits, batch)
        taught, more = self.teaching_loss(reader, given, batch)
        return loss + TEACHING_WEIGHT * taught, figures | more

    def answer_loss(self, logits: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        target, weight = batch["answer_token"], batch["answer_weight"]
        logs = F.log_softmax(logits.float(), -1)  # autocast leaves it in half precision on a CPU
        slot = self.slot[target]
        soft = slot >= 0
        smooth = -(self.mass[slot[soft]] * logs[soft][:, self.coordinates]).sum(-1)
        loss = F.nll_loss(logs, target, reduction="none").index_put((soft.nonzero()[:, 0],), smooth)
        loss = (loss * weight).sum() / weight.sum()
        place = logits[soft][:, self.coordinates].argmax(-1)
        error = (place - slot[soft]).abs().float() / 100
        figures = {"answer": loss.item(), "coordinate_error": teaching.mean(error).item()}
        return loss, figures | exact(logits.argmax(-1) == target, soft, batch)

    def teaching_loss(
        self, reader: Reader, given: Answers, batch: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        heads, patches = reader.teaching, batch["owner"].shape[1]
        names = [F.normalize(weights @ given.table, dim=-1) for weights in self.names]
        length = batch["ids"].shape[1]
        owner, centre, boxes = batch["owner"], batch["centre"], batch["boxes"]

        # The noun phrases of the questions.
        at, bits = batch["mention_at"], batch["mention_bits"]
        scene = batch["scene"][at // length]
        counted = batch["mention_counted"] > 0
        layer = given.watched[LOOK]
        look = teaching.look_loss(layer, at, bits, scene, owner[scene])
        count = teaching.count_loss(layer, at[counted], bits[counted], scene[counted], centre[scene[counted]], patches)
        said = teaching.mention_names_loss(layer.entering[at], names, batch, heads.noun_kinds)
        looked = teaching.normalised(given.watched[GATHER].entering[at])
        mention, figures = teaching.mention_head_loss(heads.mention(looked), bits, boxes[scene])
        order, ordered = teaching.order_head_loss(heads.order(looked), bits, boxes[scene])

        # The answers.
        decides = batch["answer_weight"] > LITTLE
        told = decides & (batch["answer_bits"] != NOWHERE)
        at, bits = batch["answer_at"][told], batch["answer_bits"][told]
        scene = batch["scene"][at // length]
        layer = given.watched[ANSWER]
        answer = teaching.look_loss(layer, at, bits, scene, owner[scene])
        counting = self.counts[batch["answer_task"][told]]
        count = count + teaching.count_loss(
            layer, at[counting], bits[counting], scene[counting], centre[scene[counting]], patches
        )
        asked = decides & (batch["answer_first"] >= 0)
        gather = teaching.gather_loss(
            given.watched[GATHER], *(batch[f"answer_{k}"][asked] for k in ("at", "first", "last")), given.rows
        )
        at = batch["pair_at"]
        compared = teaching.normalised(layer.entering[at])
        scene = batch["scene"][at // length]
        pair, more = teaching.pair_head_loss(heads.pair(compared), batch["pair_a"], batch["pair_b"], boxes[scene])

        naming = teaching.patch_names_loss(given.tokens, names, batch)
        parts = {"look": look, "count": count, "look_answer": answer, "gather": gather, "naming": naming, "said": said}
        total = sum(parts.values(), mention + order + pair)
        return total, figures | ordered | more | {f"guide_{name}": part.item() for name, part in parts.items()}


class Answers:
    """What the decoder gave for a batch: logits [A, V] of the answers' tokens, and what the teaching losses look at."""

    def __init__(self, logits: Tensor, table: Tensor, tokens: Tensor, rows: Rows, watched: dict[int, Watched]) -> None:
        self.logits, self.table, self.tokens, self.rows, self.watched = logits, table, tokens, rows, watched


def name_weights(ids: list[list[int]], vocabulary: int) -> Tensor:
    """[names, V]: each name's vector is the mean of its tokens'."""
    weights = torch.zeros(len(ids), vocabulary)
    for row, tokens in zip(weights, ids):
        for token in tokens:
            row[token] += 1 / len(tokens)
    return weights


def exact(right: Tensor, soft: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """The share of each task's answers of which every token is right, given those before it: what greedy decoding would
    say word by word. Coordinates do not count: a box is right when its form is."""
    question = batch["answer_question"]
    wrong = torch.zeros(int(batch["questions"].sum()), device=question.device)
    wrong.index_add_(0, question, (~right & ~soft).float())
    task = question.new_full((len(wrong),), -1)
    task[question] = batch["answer_task"]
    return {
        f"exact_{name}": (wrong[task == i] == 0).float().mean().item()
        for name, i in TASK_NUMBERS.items()
        if bool((task == i).any())
    }
