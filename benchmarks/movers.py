"""Movers of procedural clips by the network alone, and whole and in agreement with other frames.

``python benchmarks/movers.py [--clips N] [--first SEED] [--frames N]``: clips that were never trained on, of 9 frames
(three quarters of a second) unless told, aligned by one median ratio a clip. AbsRel of all, static and moving pixels
(means over clips); "jumps" is by how much the median log error of what moves changes from one frame to the next;
"overlap" that of what is found to move with what does.
"""

import argparse

import cv2
import numpy as np
import torch
from clips import print_table
from geo4d.multiview import dynamic
from geo4d.multiview.depth_frame import DepthFrame
from geo4d.multiview.network import LearnedDepth
from geo4d.multiview.passes import neighbours_of_pass, second_and_third
from geo4d.multiview.rounds import Round
from geo4d.progress import Silent
from geo4d.training.depth.examples import depth_maker
from geo4d.training.scenes import make_clips

MOTIONS = ("hand-held", "dolly", "drone", "vehicle")
WORST = 2.0  # relative error that counts at most: one hopeless pixel must not outshout the rest
FEWEST = 100  # moving pixels of a frame that tell a jump


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=14)
    parser.add_argument("--first", type=int, default=6100, help="seed of the first clip")
    parser.add_argument("--frames", type=int, default=9, help="of each clip, twelve a second")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows: dict[str, list[list[float]]] = {}
    seed = arguments.first
    while len(rows.get("network", ())) < arguments.clips:
        clips = make_clips(
            [seed], arguments.frames, 192, 320, 12.0, motion=MOTIONS[seed % len(MOTIONS)], movers=True, samples=1
        )
        seed += 1
        if clips.moving.float().mean() < 0.01:
            continue
        for name, maps in ways(clips, seed).items():
            rows.setdefault(name, []).append(errors(maps, clips))
    header = ["depth", "AbsRel", "AbsRel static", "moving", "jumps", "overlap"]
    print_table(header, [[name, *np.nanmean(values, axis=0).astype(float).tolist()] for name, values in rows.items()])


def ways(clips, seed: int) -> dict[str, list[DepthFrame]]:
    """The map of every frame by each way."""
    maker = depth_maker(clips, np.random.default_rng([seed, 8]), LearnedDepth())
    alone = {i: maker.single(i) for i in range(len(clips.times))}
    first = Round(maker.frames, alone.get, lambda j: neighbours_of_pass(maker.neighbours(j), 0))
    drafts = {i: maker.with_agreed_motion(i, first.frame(i)) for i in alone}
    agreed = second_and_third(maker.frames, maker.times, drafts, {}, maker.neighbours, maker.floor, alone, Silent())
    return {"network": [*alone.values()], "in agreement": [frame for _, frame in agreed]}


def errors(maps: list[DepthFrame], clips) -> list[float]:
    depth, true, moving = np.stack([m.depth for m in maps]), clips.depth[0].numpy(), clips.moving[0].numpy()
    seen = ~clips.sky[0].numpy()
    ratio = depth / true
    ratio /= np.median(ratio[seen])
    error = np.minimum(np.abs(ratio - 1), WORST)
    both = seen & moving
    levels = [np.median(np.log(r[m])) for r, m in zip(ratio, both, strict=True) if m.sum() > FEWEST]
    jumps = np.abs(np.diff(levels)).mean() if len(levels) > 1 else np.nan
    found = np.stack([m.dynamic for m in maps]) > dynamic.MOVES
    overlap = (found & moving).sum() / (found | moving).sum()
    return [error[seen].mean(), error[seen & ~moving].mean(), error[both].mean(), jumps, overlap]


if __name__ == "__main__":
    main()
