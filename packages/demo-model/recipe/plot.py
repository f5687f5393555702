"""Draw the training curves of all stages: `python -m recipe.plot --run DIR --out training.png`."""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .spatial import VARIANTS

# Minutes and values by the log's names.
Series = dict[str, list[tuple[float, float]]]

VISION = ("kind", "colour", "size", "word", "box")
COLOURS = dict(zip(VARIANTS, ("tab:red", "tab:blue", "tab:gray")))
# What the panels of stage 2 show: the mean of these tasks, on unseen scenes.
PANELS = {
    "yes or no, presence": ("presence",),
    "counting": ("count",),
    "relations": ("relation_yes_no", "relation_what"),
    "naming a region": ("naming",),
    "boxes of phrases, IoU >= 0.5": ("ground_attribute", "ground_ordinal", "ground_relation", "ground_extreme"),
}


def read(path: Path) -> Series:
    series: Series = defaultdict(list)
    if path.exists():
        with path.open() as file:
            for row in csv.DictReader(file):
                series[row["name"]].append((float(row["minutes"]), float(row["value"])))
    return series


def line(axis: Axes, points: list[tuple[float, float]], **style: object) -> None:
    if points:  # a stage that was not run has no legend either
        axis.plot([m for m, _ in points], [100 * v for _, v in points], **style)


def mean(series: Series, names: list[str]) -> list[tuple[float, float]]:
    """Of several figures at the same minutes; a task that was not asked at a minute does not count there."""
    at: dict[float, list[float]] = defaultdict(list)
    for name in names:
        for minutes, value in series[name]:
            at[minutes].append(value)
    return [(minutes, sum(values) / len(values)) for minutes, values in sorted(at.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    vision, joint, longer = (read(args.run / f"{stage}.csv") for stage in ("vision", "joint", "longer"))
    # Stage 3 goes on from the end of stage 2.
    begin = max((minutes for points in joint.values() for minutes, _ in points), default=0.0)
    figure, axes = plt.subplots(2, 3, figsize=(13, 6.6), layout="constrained")
    first, *others = axes.flat
    for i, name in enumerate(VISION):
        line(first, vision[f"{name}_trained"], color=f"C{i}", label=name)
        line(first, vision[f"{name}_held_out"], color=f"C{i}", linestyle="--")
    first.set_title("1. vision: unseen objects right")
    for axis, (title, tasks) in zip(others, PANELS.items()):
        for variant, colour in COLOURS.items():
            for style, dashes in (("trained", "-"), ("held_out", "--")):
                points = mean(joint, [f"{variant}/{style}/{task}" for task in tasks])
                label = variant if style == "trained" else None
                line(axis, points, color=colour, linestyle=dashes, label=label)
        for style, dashes in (("trained", "-"), ("held_out", "--")):
            alone = [points for v in VARIANTS if (points := mean(longer, [f"{v}/{style}/{task}" for task in tasks]))]
            line(axis, [(begin + m, share) for points in alone for m, share in points], color="black", linestyle=dashes,
                 label="the default, alone" if style == "trained" else None)
        axis.set_title(f"2. and 3.: {title}")
    for axis in axes.flat:
        axis.set(xlabel="minutes", ylabel="%", ylim=(0, 100))
        axis.legend(fontsize=8, title="dashed: held-out style", title_fontsize=7)
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
