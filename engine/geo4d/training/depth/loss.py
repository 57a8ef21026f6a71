"""What the depth network is asked for."""

import torch
from torch.nn import functional as F

from .network import correction

SKY_WEIGHT = 0.1
MOVING_WEIGHT = 1.0  # extra, for pixels that move
FARTHEST_ERROR = 2.0  # of log depth: one hopeless region must not outshout the rest
CAUTION = 0.03  # cost of changing anything, so that what cannot be known stays as it was measured
EDGE_SCALES = (1, 2, 4, 8)


def training_loss(output: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss and its parts.

    Parameters
    ----------
    output : (B, 17, h, w) of the network.
    batch : ``base``, ``target`` (B, 4, h, w) log inverse depth; ``moving``, ``valid`` (B, 4, h, w) bool;
        ``maps`` (B, 35, h, w).
    """
    ratio, log_error, moving = correction(output, batch["maps"]), output[:, 4:5].clamp(-6, 2), output[:, 5:9]
    miss = batch["base"] + ratio - batch["target"]
    weight = torch.where(batch["valid"], 1.0, SKY_WEIGHT) * (1 + MOVING_WEIGHT * batch["moving"])
    error = miss.abs().clamp(max=FARTHEST_ERROR)
    # Depth that is too far costs without bound in AbsRel, depth that is too near does not.
    relative = torch.expm1(-miss.clamp(min=-1.1)).abs()
    depth = (weight * (0.5 * error + 0.5 * relative)).sum() / weight.sum()
    # Laplace likelihood of the error that is left: the network learns where it is wrong, not to be less ambitious.
    solid = batch["valid"].float()
    likelihood = ((error.detach() * torch.exp(-log_error) + log_error) * solid).sum() / solid.sum().clamp(min=1)
    edges = _edges(F.pixel_shuffle(miss, 2), F.pixel_shuffle(batch["valid"].float(), 2))
    logits = moving_logits(batch["maps"], moving)
    motion = F.binary_cross_entropy_with_logits(logits, batch["moving"].float())
    total = depth + 0.5 * edges + 0.03 * likelihood + 0.25 * motion + CAUTION * ratio.abs().mean()
    parts = {"depth": depth, "edges": edges, "likelihood": likelihood, "motion": motion}
    return total, {name: float(value.detach()) for name, value in parts.items()}


def moving_logits(maps: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Logits (B, 4, h, w): the untrained probability, corrected."""
    from ...multiview.network_input import MOVING

    return torch.logit(maps[:, MOVING : MOVING + 1].clamp(0.02, 0.98)) + output


def _edges(miss: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring errors at several scales: shape must be right, not only distance."""
    total = 0.0
    for scale in EDGE_SCALES:
        e, v = (F.avg_pool2d(x, scale) if scale > 1 else x for x in (miss, valid))
        v = (v > 0.99).float()
        for dim in (2, 3):
            a = e.narrow(dim, 1, e.shape[dim] - 1) - e.narrow(dim, 0, e.shape[dim] - 1)
            both = v.narrow(dim, 1, e.shape[dim] - 1) * v.narrow(dim, 0, e.shape[dim] - 1)
            total = total + (a.abs().clamp(max=1.0) * both).sum() / both.sum().clamp(min=1)
    return total / len(EDGE_SCALES)
