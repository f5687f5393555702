"""What speeds up learning to read pictures: the guide of attention, names, and heads on inner states; all dropped
at export.

The decoder is asked to work in steps, a layer each:

1. `LOOK`: the last token of every noun phrase of a question looks at the patches of the things that it means.
2. `GATHER`: the tokens of the answer look at the question's first and last noun phrase.
3. `ANSWER`: they look at the patches of the things that the answer is about.

Where there is no such thing they look at the very first position. Counting has a head of its own, which spreads
evenly. It would all come from the answers alone in a longer training; the runtime knows nothing of it. It asks
nothing of spatial tokens, so that every variant is taught the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .decoder import Rows, Watched
from .model import ModelConfig
from .segments import NOUN_KINDS
from .world import MAX_OBJECTS

LOOK, GATHER, ANSWER = 1, 2, 3
GUIDED_HEADS = 2
COUNT_HEAD = GUIDED_HEADS
SHARPNESS = 20.0  # of the comparison of states with names


class Teaching(nn.Module):
    """Linear heads on inner states: a noun phrase's box and number of things, its things in order, the centres of two
    things compared."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        if c.heads // c.kv_heads <= COUNT_HEAD:
            raise ValueError(
                f"the {COUNT_HEAD + 1} guided heads share a KV head: too few heads on each, {c.heads} on {c.kv_heads}"
            )
        self.mention = nn.Linear(c.width, 4 + MAX_OBJECTS + 1)
        self.order = nn.Linear(c.width, 4 * MAX_OBJECTS)
        self.pair = nn.Linear(c.width, 4)
        self.register_buffer("noun_kinds", torch.from_numpy(NOUN_KINDS), persistent=False)


@torch.no_grad()
def sharpen(layers: nn.ModuleList, gain: float = 3.0) -> None:
    """Start the guided heads with sharp attention. From a flat start their scores need most of a short training to
    grow."""
    for layer in (LOOK, GATHER, ANSWER):
        attention = layers[layer].self_attn
        attention.q_proj.weight[: (COUNT_HEAD + 1) * attention.dim] *= gain


def mean(x: Tensor) -> Tensor:
    """The mean, 0 of nothing: every process of a team then has the same gradients to share."""
    return x.sum() / max(1, x.numel())


def members(bits: Tensor, owner: Tensor) -> Tensor:
    """Which patches [R, P] belong to the things of `bits` [R], with `owner` [R, P]."""
    return ((bits[:, None] >> owner.clamp_min(0)) & (owner >= 0)) > 0


def products(q: Tensor, keys: Tensor, group: Tensor) -> Tensor:
    """Scores [R, heads, n] of queries [R, heads, d] with the keys [groups, n, d] of their group [R], which is
    sorted: one small product for each group, and no copies of keys."""
    counts = group.bincount(minlength=len(keys)).tolist()
    parts = [a.flatten(0, 1) @ k.T for a, k in zip(q.split(counts), keys)]
    return torch.cat(parts).view(*q.shape[:2], keys.shape[1]).float() * q.shape[-1] ** -0.5


def scores(watched: Watched, at: Tensor, scene: Tensor, heads: slice) -> Tensor:
    """Log attention [R, heads, P] of row positions `at` over their pictures' positions alone.

    The guided heads are the first, so they share the first KV head.
    """
    return products(watched.queries[at][:, heads], watched.picture_keys[:, :, 0], scene).log_softmax(-1)


def look_loss(watched: Watched, at: Tensor, bits: Tensor, scene: Tensor, owner: Tensor) -> Tensor:
    """The guided heads' loss: -log of what goes to the wanted patches, or to the first position where there are
    none."""
    logs = scores(watched, at, scene, slice(0, GUIDED_HEADS))
    wanted = members(bits, owner)
    absent = torch.zeros_like(logs[:, 0], dtype=torch.bool)
    absent[:, 0] = bits == 0
    absent[:, -wanted.shape[1] :] |= wanted
    return -mean(logs.masked_fill(~absent[:, None], -1e4).logsumexp(-1))


def count_loss(watched: Watched, at: Tensor, bits: Tensor, scene: Tensor, centre: Tensor, patches: int) -> Tensor:
    """The count head's: an equal share on the centre of each thing that counts, the rest on the first position."""
    logs = scores(watched, at, scene, slice(COUNT_HEAD, COUNT_HEAD + 1))[:, 0]
    things = torch.arange(MAX_OBJECTS, device=bits.device)
    counts = (((bits[:, None] >> things) & 1) > 0) & (centre >= 0)  # [R, MAX_OBJECTS]
    on_centres = logs[:, -patches:].gather(1, centre.clamp_min(0)) * counts
    share = 1 / (MAX_OBJECTS + 1)
    return -mean(on_centres.sum(-1) * share + (1 - counts.sum(-1) * share) * logs[:, 0])


def gather_loss(watched: Watched, at: Tensor, first: Tensor, last: Tensor, rows: Rows) -> Tensor:
    """Head 0 of the answer's tokens should look at the question's first noun phrase, head 1 at its last, among the
    row's positions."""
    length = watched.row_keys.shape[1]
    row, place = at // length, at % length
    logs = products(watched.queries[at][:, :GUIDED_HEADS], watched.row_keys[:, :, 0], row)
    logs = (logs + rows.mask[row, 0, place, -length:][:, None]).log_softmax(-1)
    wanted = torch.stack([first, last], 1) % length
    return -mean(logs.gather(2, wanted[:, :, None]))


def normalised(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


def name_loss(states: Tensor, names: Tensor, labels: Tensor) -> Tensor:
    """States [R, H] should point at the name vectors [n, H] of their labels [R]."""
    alike = (F.normalize(states, dim=-1) @ names.T).float()
    return mean(F.cross_entropy(SHARPNESS * alike, labels, reduction="none"))


def noun_loss(states: Tensor, kinds: Tensor, allowed: Tensor) -> Tensor:
    """States [R, H] should point at the names of any of the allowed kinds, [R, kinds]."""
    logs = (SHARPNESS * (F.normalize(states, dim=-1) @ kinds.T).float()).log_softmax(-1)
    return -mean(logs.masked_fill(~allowed, -1e4).logsumexp(-1))


def patch_names_loss(tokens: Tensor, names: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Patch tokens [B, P, H] should point at the names of their thing's kind, colour and size.

    With words and pictures in one space, finding "dog" among the patches is one similarity, not one lesson for
    each kind.
    """
    owner = batch["owner"]
    b, p = (owner >= 0).nonzero(as_tuple=True)
    labels = batch["names"][b, owner[b, p]]
    states = tokens[b, p]
    loss = tokens.new_zeros(())
    for column, vectors in enumerate(names):
        named = labels[:, column] >= 0
        loss = loss + name_loss(states[named], vectors, labels[named, column])
    return loss


def mention_names_loss(states: Tensor, names: list[Tensor], batch: dict[str, Tensor], noun_kinds: Tensor) -> Tensor:
    """The states of the phrases' last tokens [M, H] should point at the names of what the phrase says, before they
    look."""
    noun = batch["mention_noun"]
    allowed = noun_kinds[noun.clamp_min(0)]
    # "thing" and the like name nearly every kind: nothing to learn.
    telling = (noun >= 0) & (allowed.sum(-1) < allowed.shape[1] // 2)
    loss = noun_loss(states[telling], names[0], allowed[telling])
    for label, vectors in zip((batch["mention_colour"], batch["mention_size"]), names[1:]):
        named = label >= 0
        loss = loss + name_loss(states[named], vectors, label[named])
    return loss


def mention_head_loss(out: Tensor, bits: Tensor, boxes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The head on the phrases' states after they looked: the box where one thing is meant, and how many are.

    out [M, 13], bits [M], boxes [M, MAX_OBJECTS, 4] of the scene's things.
    """
    things = torch.arange(MAX_OBJECTS, device=bits.device)
    meant = ((bits[:, None] >> things) & 1) > 0
    number = meant.sum(-1)
    one = number == 1
    truth = boxes[one][meant[one]]
    error = (out[one, :4] - truth).abs()
    counted = F.cross_entropy(out[:, 4:], number, reduction="none")
    right = (out[:, 4:].argmax(-1) == number).float()
    figures = {"mention_box_error": mean(error).item(), "mention_number": mean(right).item()}
    return 4 * mean(error) + 0.5 * mean(counted), figures


def order_head_loss(out: Tensor, bits: Tensor, boxes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The head on the same states: where a phrase means several things, their centres in order from the left, the top,
    the right and the bottom. "The second dog from the left" is then read off, not found by comparing dogs.

    out [M, 4 * MAX_OBJECTS], bits [M], boxes [M, MAX_OBJECTS, 4] of the scene's things.
    """
    things = torch.arange(MAX_OBJECTS, device=bits.device)
    meant = ((bits[:, None] >> things) & 1) > 0
    several = meant.sum(-1) > 1
    meant, centres = meant[several], (boxes[several, :, :2] + boxes[several, :, 2:]) / 2
    along = torch.cat([centres, 1 - centres], -1).transpose(1, 2)  # [., 4, MAX_OBJECTS]
    truth = along.masked_fill(~meant[:, None], torch.inf).sort(-1).values
    there = truth.isfinite()
    error = (out[several].view_as(truth)[there] - truth[there]).abs()
    return 4 * mean(error), {"order_error": mean(error).item()}


def pair_head_loss(out: Tensor, a: Tensor, b: Tensor, boxes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The head on the first answer token's state: the centres of two things, out [K, 4], boxes [K, MAX_OBJECTS, 4]."""
    n = torch.arange(len(a), device=a.device)
    pair = torch.stack([boxes[n, a], boxes[n, b]], 1)
    truth = ((pair[..., :2] + pair[..., 2:]) / 2).flatten(1)
    error = (out - truth).abs()
    return 4 * mean(error), {"pair_error": mean(error).item()}
