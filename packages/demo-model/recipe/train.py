"""Train the demo models: `python -m recipe.train --run DIR`. Seeded, resumable, by stages with a budget of minutes
each.

1. `vision`: the vision tower under dense heads (vision.py).
2. `joint`: what reads the picture, once for each variant, on questions and answers (joint.py); the tower is frozen.
3. `longer`: the variant that ships goes on alone, the tower with it.

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
from .device import cores, device
from .loop import SEED
from .model import SIZES
from .parallel import Meeting, Team
from .text import load_or_build


STAGES = "vision,joint,longer"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints, the tokenizer and the logs")
    parser.add_argument("--stages", default=STAGES)
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu")
    parser.add_argument("--processes", type=int, default=0, help="0: one a core on a CPU, one on a GPU")
    parser.add_argument(
        "--dry-run", action="store_true", help="the cost, and one step of all stages in a temporary folder"
    )
    parser.add_argument(
        "--validate-scenes", type=int, default=96, help="of the trained styles, and of the held-out one"
    )
    vision.add_options(parser)
    joint.add_options(parser)
    args = parser.parse_args()
    if args.processes > 1 and device().type == "cuda":
        parser.error("a GPU trains in one process")
    if "longer" in args.stages and args.default not in args.variants.split(","):
        parser.error(f"--default {args.default} is none of --variants {args.variants}")
    return args


def main() -> None:
    args = parse()
    if not args.dry_run:
        start(args, announce(args))
        return
    with tempfile.TemporaryDirectory() as folder:
        args.run, args.stages = Path(folder), STAGES
        processes = announce(args)
        args.vision_minutes = args.joint_minutes = args.longer_minutes = 1e-6
        args.vision_batch = args.joint_batch = args.validate_scenes = 2 * processes
        start(args, processes)


def announce(args: argparse.Namespace) -> int:
    """Makes the tokenizer, says what all will cost; the number of processes."""
    args.run.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_build(args.run / "tokenizer.json")
    processes = args.processes or (1 if device().type == "cuda" else cores())
    config = replace(SIZES[args.size], vocab_size=tokenizer.get_vocab_size())
    print(cost.estimate(config, tokenizer, args, processes), flush=True)
    return processes


def start(args: argparse.Namespace, processes: int) -> None:
    if processes == 1:
        work(0, None, args)
    else:
        torch.multiprocessing.spawn(work, (Meeting(processes), args), nprocs=processes)


def work(rank: int, meeting: Meeting | None, args: argparse.Namespace) -> None:
    """One process of the team; all start from the same seed and stay equal."""
    team = Team(rank, meeting)
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if meeting else cores())
    if meeting and hasattr(os, "sched_setaffinity"):
        # A core each: beside other programs two were seen to share one, each waiting for the other.
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {own[rank % len(own)]})
    # Beside a GPU all cores make scenes; on a CPU each process makes its own.
    args.workers = cores() if device().type == "cuda" else 0
    tokenizer = load_or_build(args.run / "tokenizer.json")
    config = replace(SIZES[args.size], vocab_size=tokenizer.get_vocab_size())
    stages = args.stages.split(",")
    if "vision" in stages:
        vision.train_vision(config, args, team)
    for name, stage in (("joint", joint.joint_stage(args)), ("longer", joint.longer_stage(args))):
        team.wait()
        if name in stages:
            joint.train(config, tokenizer, args, team, stage)


if __name__ == "__main__":
    main()
