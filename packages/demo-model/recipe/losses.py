"""The losses: dense auxiliary heads, answers, and the attention guide."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import COUNT_HEADS, PATCH_HEADS, LlavaSp
from .packing import TASK_NAMES, attention_mask

ATTRIBUTE_HEADS = ("colour", "shape", "size", "rank_x", "rank_y", "same_shape", "same_colour")
ATTRIBUTE_WEIGHTS = (1.0, 2.0, 0.5, 0.25, 0.25, 0.25, 0.25)  # shape is the slowest to learn


def auxiliary_loss(model: LlavaSp, patches: Tensor, spatial: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
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
    loss = loss + (F.cross_entropy(counts.flatten(0, 1), targets.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()
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


def joint_loss(
    model: LlavaSp, batch: dict[str, Tensor], patches: Tensor, spatial: Tensor, head: int, table: Tensor, coordinates: Tensor,
    watch: int, guided_heads: int,
) -> tuple[Tensor, Tensor, dict[str, float]]:  # fmt: skip
    """The answers' loss and the attention guide's loss, figures beside.

    The guide asks the first `guided_heads` heads of decoder layer `watch` to look, while answering, at the patches of the
    objects the question refers to. It only speeds up what the answers would teach in the end; the runtime knows nothing of it.
    """
    embeds = model.language_model.model.embed_tokens(batch["ids"])
    visual = model.visual_tokens(patches, spatial)
    end = head + visual.shape[1]
    x = torch.cat([embeds[:, :head], visual, embeds[:, end:]], 1)
    states, watched = model.language_model(x, batch["position"], attention_mask(batch["segment"], end), split=end, watch=watch)
    # From here on positions count from the end of the picture; nothing is asked before it.
    batch = batch | {k: batch[k][:, end:] for k in ("target", "weight", "guide", "task")}
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

    q, k = watched
    bits = batch["guide"]
    gb, gt = (bits > 0).nonzero(as_tuple=True)
    first_patch = end - patches.shape[1]
    seen = (1 << batch["owner"].clamp_min(0)) * (batch["owner"] >= 0)
    wanted = (seen[gb] & bits[gb, gt][:, None]) != 0  # [rows, P]
    guide = answer_loss.new_zeros(())
    for h in range(guided_heads):
        # Over the picture's positions only: cheap, and the right share of what goes to the picture.
        scores = torch.einsum("rd,rpd->rp", q[gb, h, gt + q.shape[2] - bits.shape[1]], k[gb, h, first_patch:end]) * q.shape[-1] ** -0.5
        scores = scores.log_softmax(-1).masked_fill(~wanted, -1e4)
        guide = guide - scores.logsumexp(-1).mean() / guided_heads
    right = (logits.argmax(-1) == target).float()
    place = logits[soft][:, coordinates].argmax(-1)
    figures = {"answer": answer_loss.item(), "guide": guide.item(), "coordinate_error": (place - slot[soft]).abs().float().mean().item() / 100}
    task = batch["task"][b, t]
    for i, name in enumerate(TASK_NAMES):
        chosen = (task == i) & ~soft
        if chosen.any() and name not in ("ground", "where"):
            figures[f"token_{name}"] = right[chosen].mean().item()
    return answer_loss, guide, figures
