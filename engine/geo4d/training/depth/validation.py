"""Figures on procedural clips that were never trained on, and the one number that is chosen by them."""

import numpy as np
import torch

from ...multiview.network_input import MOVING
from .loss import moving_logits
from .network import DepthNetwork, correction

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@torch.no_grad()
def outputs(network: DepthNetwork, clips: list[dict[str, np.ndarray]], device: str = "cpu") -> list[dict]:
    """The network's output (N, 16, h, w) on each clip, beside the clip's tensors."""
    network.eval()
    out = []
    for clip in clips:
        tensors = {k: torch.from_numpy(v if v.dtype == bool else v.astype(np.float32)) for k, v in clip.items()}
        pairs = zip(tensors["maps"], tensors["sweep"], strict=True)
        found = [network(maps[None].to(device), sweep[None].to(device)).cpu() for maps, sweep in pairs]
        found = torch.cat(found)
        out.append({**tensors, "output": found, "correction": correction(found, tensors["maps"])})
    return out


def abs_rel(found: dict, share: float) -> tuple[float, float | None]:
    """AbsRel of all and of moving pixels of a clip with a share of the correction, aligned by one median ratio."""
    valid, moving = found["valid"], found["moving"]
    off = found["target"] - found["base"] - share * found["correction"]  # log of estimated over true depth
    error = (torch.exp(off - off[valid].median()) - 1).abs()
    both = valid & moving
    return float(error[valid].mean()), float(error[both].mean()) if both.any() else None


def best_share(found: list[dict]) -> float:
    """The share of the correction with the least AbsRel, as geometric mean over clips: no hard clip outshouts the rest.

    A network that has seen few scenes is surer of its corrections than it should be.
    """
    return min(SHARES, key=lambda share: np.mean([np.log(abs_rel(f, share)[0] + 1e-6) for f in found]))


def temper(network: DepthNetwork, share: float, keep_motion: bool = False) -> None:
    """Set (in place) how much of its correction is applied; ``keep_motion``: what moves is not corrected."""
    network.head.weight.data[-1] = 0
    network.head.bias.data[-1] = share
    if keep_motion:
        network.head.weight.data[5:9] = 0
        network.head.bias.data[5:9] = 0


def figures(found: list[dict], share: float = 1.0) -> dict[str, float]:
    """Means over clips: AbsRel, AbsRel of movers and overlap of moving masks, untrained and with the network."""
    sums: dict[str, list[float]] = {}
    for f in found:
        masks = {
            "untrained": f["maps"][:, MOVING : MOVING + 1].expand_as(f["moving"]) > 0.5,
            "learned": torch.sigmoid(moving_logits(f["maps"], f["output"][:, 5:9])) > 0.5,
        }
        for name, part in (("untrained", 0.0), ("learned", share)):
            error, on_movers = abs_rel(f, part)
            sums.setdefault(f"{name}_abs_rel", []).append(error)
            if on_movers is not None:
                sums.setdefault(f"{name}_abs_rel_moving", []).append(on_movers)
            if f["moving"].any():
                both, either = masks[name] & f["moving"], masks[name] | f["moving"]
                sums.setdefault(f"{name}_moving_iou", []).append(float(both.sum() / either.sum()))
    return {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
