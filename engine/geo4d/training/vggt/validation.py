"""How good the twin is on clips that it has not learnt from."""

import numpy as np
import torch

from ...evaluation.depth_metrics import DepthErrors, fit_scale
from ...evaluation.pose_metrics import compare_paths, rotation_errors_deg
from ...models.vggt4d import pose
from ...models.vggt4d.network import Network
from ...models.working_size import closest_size
from ..window_clips import Store
from .batches import Scene, scene

FRAMES, CELLS = 8, 60  # of a window, of a picture
_MOVES = 0.02  # units; windows with a shorter way say nothing of positions


@torch.inference_mode()
def figures(network: Network, store: Store, device: str = "cpu", most: int = 60) -> dict[str, float]:
    """Mean figures of the held-out windows; empty where there are none.

    AbsRel of depth after one median ratio a window, beside one constant depth; ATE in percent of the way and the
    median angle between orientations, beside cameras that stay where they are.
    """
    depth, constant = DepthErrors(), DepthErrors()
    ate, still_turn, turn = [], [], []
    for windows in store.held_out(FRAMES)[:most]:
        height, width = windows.depth.shape[2:]
        truth = scene(windows, closest_size(width, height, CELLS, 1), network.sizes.patch)
        out = network(truth.images.to(device), FRAMES)
        seen = truth.solid.numpy()
        if not seen.any():
            continue
        z, true = out.depth.cpu().numpy()[seen], truth.depth.numpy()[seen]
        depth.add(z * fit_scale(z, true), true)
        constant.add(np.full_like(true, np.median(true)), true)
        found, wanted = cameras(out.codes[-1].cpu(), truth), cameras(truth.code, truth)
        turn.append(np.median(rotation_errors_deg(found, wanted)))
        still_turn.append(np.median(rotation_errors_deg(np.tile(np.eye(4), (FRAMES, 1, 1)), wanted)))
        if np.linalg.norm(np.diff(wanted[:, :3, 3], axis=0), axis=1).sum() > _MOVES:
            ate.append(compare_paths(found, wanted).ate_percent)
    if not depth.pixels:
        return {}
    return {
        "abs_rel": round(depth.abs_rel, 4),
        "abs_rel_constant": round(constant.abs_rel, 4),
        "turn_deg": round(float(np.mean(turn)), 3),
        "turn_deg_still": round(float(np.mean(still_turn)), 3),
        "ate_percent": round(float(np.median(ate)), 2) if ate else float("nan"),
    }


def cameras(code: torch.Tensor, truth: Scene) -> np.ndarray:
    """Camera-to-world (S, 4, 4) of codes (S, 9)."""
    w2c = torch.eye(4, dtype=torch.float64).repeat(len(code), 1, 1)
    w2c[:, :3] = pose.decode(code, *truth.depth.shape[1:])[0].double()
    return torch.linalg.inv(w2c).numpy()
