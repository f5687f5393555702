"""Train the demo models: `python -m recipe.train --run DIR`. Seeded, resumable, by stages with a budget of minutes
each.

1. `vision`: the vision tower under dense heads (vision.py). It is frozen afterwards.
2. `joint`: what reads the picture, once for each variant, on questions and answers (joint.py).

It says what it will cost before it starts. `--size gpu` is for a graphics card, `--size cpu` for two cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from . import cost, joint, vision
from .loop import SEED, device
from .model import SIZES
from .parallel import Team
from .text import load_or_build


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints, the tokenizer and the logs")
    parser.add_argument("--stages", default="vision,joint")
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu")
    parser.add_argument("--processes", type=int, default=0, help="0: one a core on a CPU, one on a GPU")
    parser.add_argument(
        "--dry-run", action="store_true", help="the cost, and one step of each stage in a temporary folder"
    )
    parser.add_argument(
        "--validate-scenes", type=int, default=96, help="of the trained styles, and of the held-out one"
    )
    vision.add_options(parser)
    joint.add_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse()
    if not args.dry_run:
        start(args, announce(args))
        return
    with tempfile.TemporaryDirectory() as folder:
        args.run = Path(folder)
        processes = announce(args)
        args.vision_minutes = args.joint_minutes = 1e-6
        args.vision_batch = args.joint_batch = args.validate_scenes = 2 * processes
        start(args, processes)


def announce(args: argparse.Namespace) -> int:
    """Makes the tokenizer, says what all will cost; the number of processes."""
    args.run.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_build(args.run / "tokenizer.json")
    processes = args.processes or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    config = replace(SIZES[args.size], vocab_size=tokenizer.get_vocab_size())
    print(cost.estimate(config, tokenizer, args, processes), flush=True)
    return processes


def start(args: argparse.Namespace, processes: int) -> None:
    rendezvous = args.run / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    if processes == 1:
        work(0, 1, rendezvous, args)
    else:
        torch.multiprocessing.spawn(work, (processes, rendezvous, args), nprocs=processes)


def work(rank: int, size: int, rendezvous: Path, args: argparse.Namespace) -> None:
    """One process of the team; all start from the same seed and stay equal."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if size > 1 else os.cpu_count() or 1)
    team = Team(rank, size, rendezvous)
    # Beside a GPU all cores make scenes; on a CPU each process makes its own.
    args.workers = (os.cpu_count() or 1) if device().type == "cuda" else 0
    tokenizer = load_or_build(args.run / "tokenizer.json")
    config = replace(SIZES[args.size], vocab_size=tokenizer.get_vocab_size())
    stages = args.stages.split(",")
    if "vision" in stages:
        vision.train_vision(config, args, team)
    team.wait()
    if "joint" in stages:
        joint.train(config, tokenizer, args, team)


if __name__ == "__main__":
    main()
