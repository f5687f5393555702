"""Draw the training curve: `python -m recipe.plot --run DIR --out training.png`."""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

VISION = {"colour": "colour", "shape": "shape", "size": "size", "count_all": "count, all"}
JOINT = {"token_exists": "yes/no", "token_count": "count", "token_colour": "colour", "token_shape": "shape", "token_describe": "describe a region"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with (args.run / "log.csv").open() as file:
        for row in csv.DictReader(file):
            stage = "vision" if row["stage"] == "vision" else "joint"
            series[stage, row["name"]].append((float(row["minutes"]), float(row["value"])))
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for axis, stage, names in ((axes[0], "vision", VISION), (axes[1], "joint", JOINT)):
        for name, label in names.items():
            points = series[stage, name]
            axis.plot([m for m, _ in points], [100 * v for _, v in points], label=label)
        axis.set(xlabel="minutes", ylim=(0, 100))
        axis.legend(fontsize=8)
    axes[0].set(title="1. vision: right per patch", ylabel="%")
    axes[1].set(title="2. joint: answers' words right, on new scenes", ylabel="%")
    points = series["joint", "coordinate_error"]
    axes[2].plot([m for m, _ in points], [v for _, v in points], color="tab:red")
    axes[2].set(title="2. joint: coordinate error, share of the side", xlabel="minutes", ylim=(0, None))
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
