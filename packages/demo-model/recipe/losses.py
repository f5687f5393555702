"""The losses: dense auxiliary heads, answers, and the attention guide."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import COUNT_HEADS, PATCH_HEADS, LlavaSp
from .packing import ABSENT, TASK_NAMES, attention_mask

ATTRIBUTE_HEADS = ("colour", "shape", "size", "rank_x", "rank_y", "same_shape", "same_colour")
ATTRIBUTE_WEIGHTS = (1.0, 2.0, 0.5, 0.25, 0.25, 0.25, 0.25)  # shape is the slowest to learn


def auxiliary_loss(
    model: LlavaSp, patches: Tensor, spatial: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Loss over the patches of [B, P, C] and the counts from [B, N, 2S]; figures for the log beside it."""
    out = model.auxiliary.patch(patches).flatten(0, 1)
    heads = dict(zip(PATCH_HEADS, out.split(list(PATCH_HEADS.values()), -1)))
    owner = batch["owner"].flatten()
    inside = (owner >= 0).nonzero()[:, 0]
    loss = F.binary_cross_entropy_with_logits(heads["object"][:, 0], (owner >= 0).float())
    loss = loss + 2 * F.binary_cross_entropy_with_logits(heads["centre"][:, 0], batch["centre"].flatten())
    attributes = batch["attributes"].flatten(0, 1)[inside]
    figures: dict[str, float] = {}
    for i, (name, weight) in enumerate(zip(ATTRIBUTE_HEADS, ATTRIBUTE_WEIGHTS)):
        logits = heads[name][inside]
        loss = loss + weight * F.cross_entropy(logits, attributes[:, i])
        figures[name] = (logits.argmax(-1) == attributes[:, i]).float().mean().item()
    box_error = (heads["box"][inside] - batch["boxes"].flatten(0, 1)[inside]).abs().mean()
    loss = loss + 8 * box_error
    extreme = batch["extreme"].flatten(0, 1)[inside]
    loss = loss + 0.5 * F.binary_cross_entropy_with_logits(heads["extreme"][inside], extreme)
    counts = model.auxiliary.count(spatial.flatten(1)).view(-1, COUNT_HEADS, 6)
    targets = batch["counts"]
    # Most colours and shapes are absent: zeros weigh little.
    weight = torch.where(targets > 0, 1.0, 0.25)
    loss = (
        loss
        + (F.cross_entropy(counts.flatten(0, 1), targets.flatten(), reduction="none") * weight.flatten()).sum()
        / weight.sum()
    )
    right = counts.argmax(-1) == targets
    figures |= {
        "object": ((heads["object"][:, 0] > 0) == (owner >= 0)).float().mean().item(),
        "box_error": box_error.item(),
        "count_all": right[:, 0].float().mean().item(),
        "count_some": right[:, 1:][targets[:, 1:] > 0].float().mean().item(),
    }
    return loss, figures


def coordinate_targets(coordinates: Tensor, vocabulary: int, sigma: float) -> Tensor:
    """Rows of soft targets, [101, V]: a coordinate's neighbours share its mass, as a box off by 0.01 is nearly right."""
    steps = torch.arange(len(coordinates), device=coordinates.device, dtype=torch.float32)
    mass = torch.exp(-((steps[:, None] - steps[None]) ** 2) / (2 * sigma**2))
    table = torch.zeros(len(coordinates), vocabulary, device=coordinates.device)
    table[:, coordinates] = mass / mass.sum(-1, keepdim=True)
    return table


def naming_loss(model: LlavaSp, visual: Tensor, batch: dict[str, Tensor], names: list[Tensor]) -> Tensor:
    """Patch tokens [B, P, H] should point at the embeddings of their colour's, shape's and size's words.

    With words and pictures in one space, finding "red" among the patches is one similarity, not one lesson for each colour.
    """
    inside = batch["owner"].flatten() >= 0
    tokens = F.normalize(visual.flatten(0, 1)[inside], dim=-1)
    attributes = batch["attributes"].flatten(0, 1)[inside]
    loss = tokens.new_zeros(())
    for i, ids in enumerate(names):
        words = F.normalize(model.language_model.model.embed_tokens(ids), dim=-1)
        loss = loss + F.cross_entropy(20 * tokens @ words.T, attributes[:, i])
    return loss


def said_loss(model: LlavaSp, states: Tensor, batch: dict[str, Tensor], names: list[Tensor]) -> Tensor:
    """The state [B, T, H] from which the answer starts should point at the words that the question names."""
    loss = states.new_zeros(())
    for i, ids in enumerate(names):
        b, t = (batch["said"][..., i] >= 0).nonzero(as_tuple=True)
        words = F.normalize(model.language_model.model.embed_tokens(ids), dim=-1)
        loss = loss + F.cross_entropy(20 * F.normalize(states[b, t], dim=-1) @ words.T, batch["said"][b, t, i])
    return loss


def count_guide(batch: dict[str, Tensor], q: Tensor, k: Tensor, h: int, rows: Tensor) -> Tensor:
    """Head `h` should spread evenly while counting: a sixth on the centre of each object that counts, the rest on the
    spatial tokens, so that the number can be read off. k is [B, heads, N + P, d], rows [B, T]."""
    b, t = rows.nonzero(as_tuple=True)
    bits = batch["guide"][b, t][:, None]
    seen = (1 << batch["owner"].clamp_min(0)) * (batch["owner"] >= 0)
    centres = ((seen[b] & bits) != 0) & (batch["centre"][b] > 0)  # [rows, P]
    scores = (
        torch.einsum("rd,rpd->rp", q[b, h, t + q.shape[2] - rows.shape[1]], k[b, h]) * q.shape[-1] ** -0.5
    ).log_softmax(-1)
    spatial = scores.shape[1] - centres.shape[1]
    rest = 1 - centres.sum(-1) / 6
    return -((scores[:, spatial:] * centres).sum(-1) / 6 + rest * scores[:, :spatial].logsumexp(-1)).mean()


def joint_loss(
    model: LlavaSp, batch: dict[str, Tensor], patches: Tensor, spatial: Tensor, head: int, table: Tensor, coordinates: Tensor,
    names: list[Tensor], watch: int, guided_heads: int,
) -> tuple[Tensor, Tensor, dict[str, float]]:  # fmt: skip
    """The answers' loss and the teaching losses (attention guide, names), figures beside.

    The guide asks the first `guided_heads` heads of decoder layer `watch` to look, while answering, at the patches of the
    objects the question refers to, or at the spatial tokens where there is no such object. It only speeds up what the answers would teach in the end; the runtime knows nothing of it.
    """
    embeds = model.language_model.model.embed_tokens(batch["ids"])
    visual = model.visual_tokens(patches, spatial)
    end = head + visual.shape[1]
    naming = naming_loss(model, visual[:, -patches.shape[1] :], batch, names)
    x = torch.cat([embeds[:, :head], visual, embeds[:, end:]], 1)
    states, watched = model.language_model(
        x, batch["position"], attention_mask(batch["segment"], end), split=end, watch=watch
    )
    # From here on positions count from the end of the picture; nothing is asked before it.
    batch = batch | {k: batch[k][:, end:] for k in ("target", "weight", "guide", "task", "said")}
    b, t = (batch["target"] >= 0).nonzero(as_tuple=True)
    target, weight = batch["target"][b, t], batch["weight"][b, t]
    logits = model.language_model.logits(states[b, t])
    logs = F.log_softmax(logits, -1)
    which = torch.full((logits.shape[-1],), -1, device=target.device)
    which[coordinates] = torch.arange(len(coordinates), device=target.device)
    slot = which[target]
    soft = slot >= 0
    loss = -logs.gather(1, target[:, None])[:, 0]
    smooth = -(table[slot[soft]] * logs[soft]).sum(-1)
    loss = loss.index_put((soft.nonzero()[:, 0],), smooth)
    answer_loss = (loss * weight).sum() / weight.sum()

    q, k, entering = watched
    naming = naming + said_loss(
        model, entering[:, end:] if entering.shape[1] > batch["said"].shape[1] else entering, batch, names
    )
    bits = batch["guide"]
    counting = batch["task"] == TASK_NAMES.index("count")
    gb, gt = ((bits > 0) & ~counting).nonzero(as_tuple=True)
    asked = bits[gb, gt][:, None]
    seen = (1 << batch["owner"].clamp_min(0)) * (batch["owner"] >= 0)
    absent = ((asked & ABSENT) != 0).expand(-1, visual.shape[1] - patches.shape[1])
    wanted = torch.cat([absent, (seen[gb] & asked) != 0], 1)  # [rows, N + P]
    guide = answer_loss.new_zeros(())
    for h in range(guided_heads):
        # Over the picture's positions only: cheap, and the right share of what goes to the picture.
        scores = (
            torch.einsum("rd,rpd->rp", q[gb, h, gt + q.shape[2] - bits.shape[1]], k[gb, h, head:end])
            * q.shape[-1] ** -0.5
        )
        scores = scores.log_softmax(-1).masked_fill(~wanted, -1e4)
        guide = guide - scores.logsumexp(-1).mean() / guided_heads
    guide = guide + count_guide(batch, q, k[:, :, head:end], guided_heads, (bits > 0) & counting)
    right = (logits.argmax(-1) == target).float()
    place = logits[soft][:, coordinates].argmax(-1)
    figures = {
        "answer": answer_loss.item(),
        "guide": guide.item(),
        "naming": naming.item(),
        "coordinate_error": (place - slot[soft]).abs().float().mean().item() / 100,
    }
    task = batch["task"][b, t]
    for i, name in enumerate(TASK_NAMES):
        chosen = (task == i) & ~soft & (weight > 0.2)
        if chosen.any() and name not in ("ground", "where"):
            figures[f"token_{name}"] = right[chosen].mean().item()
    return answer_loss, guide + naming, figures
