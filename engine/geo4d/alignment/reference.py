"""Reference mode: the paper's objective by gradient descent, as the released system runs it. Slow; the oracle.

Adam over all unknowns; disparity and trajectories join from a given iteration on, once the point maps have brought
depth and cameras near, and are fitted to what stands then. Source: Geo4D (arXiv 2504.07961) and its released settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import SolveError
from ..matchmove.solve import POSE_SOLVED, Solve
from ..models.prediction import Prediction
from ..progress import Progress, Silent
from .aligned import Aligned
from .initialisation import initial_parameters, windows_of
from .objective import MIN_DISPARITY, Windows, loss, world_points
from .parameters import Parameters, compressed

STAGE = "align"
_POINTS = 4000  # handed on with the cameras
_TRUSTED_WEIGHT = 0.5  # of a point, to be counted when a disparity fit is scored
_GOOD, _USABLE = 0.8, 0.3  # share of pixels within 25 % of the depth at hand: no further try; of use at all
_MAX_ROTATION_DEG = 4.0  # of a window's trajectory against the cameras, root mean square over steps


@dataclass(frozen=True)
class Schedule:
    """The released system's."""

    iterations: int = 500
    start: int = 150  # iteration from which disparity and trajectories take part
    rate: float = 0.03
    last_rate: float = 0.001
    betas: tuple[float, float] = (0.9, 0.9)

    def rate_at(self, iteration: int) -> float:
        return self.rate + (self.last_rate - self.rate) * iteration / self.iterations


def optimise(
    parameters: Parameters,
    windows: Windows,
    schedule: Schedule = Schedule(),
    progress: Progress | None = None,
    look: Callable[[int, Parameters, float], None] | None = None,
) -> list[float]:
    """Move ``parameters`` in place; returns the loss of every iteration.

    Sets ``windows.usable`` and ``windows.trusted`` when disparity and trajectories join. ``look(iteration,
    parameters, loss)`` sees every iteration after its backward pass.
    """
    progress = progress or Silent()
    unknowns = [tensor.requires_grad_() for tensor in parameters.tensors()]
    adam = torch.optim.Adam(unknowns, lr=schedule.rate, betas=schedule.betas)
    losses = []
    for iteration in range(schedule.iterations):
        progress.advance(STAGE, iteration, schedule.iterations)
        if iteration == schedule.start:
            with torch.no_grad():
                join_disparity(parameters, windows)
                join_trajectories(parameters, windows)
        adam.zero_grad(set_to_none=True)
        value = loss(parameters, windows, iteration >= schedule.start)
        value.backward()
        losses.append(float(value.detach()))
        if look is not None:
            look(iteration, parameters, losses[-1])
        for group in adam.param_groups:
            group["lr"] = schedule.rate_at(iteration)
        adam.step()
    progress.advance(STAGE, schedule.iterations, schedule.iterations)
    for tensor in unknowns:
        tensor.requires_grad_(False)
    return losses


def join_disparity(parameters: Parameters, windows: Windows) -> None:
    """Fit every window's disparity scale and shift to the inverse depth at hand, and say which are usable."""
    if windows.disparity is None:
        return
    target = (1.0 / parameters.depth())[windows.frames]
    usable = []
    for g, disparity in enumerate(windows.disparity):
        if windows.with_disparity is not None and not windows.with_disparity[g]:
            usable.append(False)
            continue
        counted = disparity > MIN_DISPARITY
        if windows.weight is not None:
            counted &= windows.weight[g] > _TRUSTED_WEIGHT
        scale, shift, score = fit_disparity(disparity.reshape(-1), target[g].reshape(-1), counted.reshape(-1))
        parameters.disparity_scale[g, 0], parameters.disparity_shift[g, 0] = scale, shift
        usable.append(score >= _USABLE)
    windows.usable = torch.tensor(usable, device=windows.frames.device)


def fit_disparity(disparity: Tensor, target: Tensor, counted: Tensor) -> tuple[float, float, float]:
    """Scale, shift and score of the L1 fit of ``scale * disparity + shift`` to inverse depth (P,).

    By Adam from the median ratio, as in the reference; where the score is poor both other rates are tried too and
    the best of the three is kept. All pixels enter the fit; ``counted`` (P,) bool those that enter the score, the
    share within 25 %.
    """

    def attempt(rate: float, steps: int) -> tuple[float, float, float]:
        scale, shift = _descend(disparity, target, rate, steps)
        ratio = (scale * disparity + shift)[counted] / target[counted]
        # A negative disparity is no depth at all, however its ratio compares.
        within = (ratio > 0) & (torch.maximum(ratio, 1 / ratio) < 1.25)
        return scale, shift, float(within.float().mean()) if len(ratio) else 0.0

    best = attempt(1e-2, 5000)
    if best[2] < _GOOD:
        best = max(best, attempt(1e-4, 3000), attempt(1e-3, 3000), key=lambda fit: fit[2])
    return best


def _descend(disparity: Tensor, target: Tensor, rate: float, steps: int) -> tuple[float, float]:
    positive = target > 0
    x, y = disparity[positive], target[positive]
    with torch.enable_grad():
        # Disparity whose median is 0 has no ratio; its fit begins at 1.
        scale = (y.median() / x.median() if x.median() != 0 else torch.ones_like(y[0])).clone().requires_grad_()
        shift = torch.zeros_like(scale).requires_grad_()
        adam = torch.optim.Adam([scale, shift], lr=rate)
        before = torch.inf
        for _ in range(steps):
            adam.zero_grad()
            total = (scale * x + shift - y).abs().sum()
            total.backward()
            adam.step()
            if abs(before - total.item()) < 1e-6:
                break
            before = total.item()
    return scale.item(), shift.item()


def join_trajectories(parameters: Parameters, windows: Windows) -> None:
    """Place every window's own cameras on those at hand by their first pose, and say which are to be trusted."""
    if windows.c2w is None:
        return
    R, t = parameters.c2w()
    scale, _, _ = parameters.window_to_world()
    trusted = []
    for g, frames in enumerate(windows.frames):
        R0, t0 = windows.c2w[g, 0, :3, :3], windows.c2w[g, 0, :3, 3] * scale[g]
        RB = R[frames[0]] @ R0.T
        parameters.trajectory[g, :4] = quaternion(RB)
        parameters.trajectory[g, 4:7] = compressed(t[frames[0]] - RB @ t0)
        parameters.trajectory[g, 7] = torch.log(scale[g])
        known = windows.with_cameras is None or bool(windows.with_cameras[g])
        trusted.append(known and step_rotation_deg(windows.c2w[g, :, :3, :3], R[frames]) < _MAX_ROTATION_DEG)
    windows.trusted = torch.tensor(trusted, device=windows.frames.device)


def step_rotation_deg(estimate: Tensor, truth: Tensor) -> float:
    """Root mean square difference in degrees of the rotations from frame to frame, (T, 3, 3) each."""
    steps = [R[:-1].transpose(1, 2) @ R[1:] for R in (estimate, truth)]
    off = steps[0].transpose(1, 2) @ steps[1]
    axis = torch.stack([off[:, 2, 1] - off[:, 1, 2], off[:, 0, 2] - off[:, 2, 0], off[:, 1, 0] - off[:, 0, 1]], dim=-1)
    angle = torch.atan2(axis.norm(dim=-1), off.diagonal(dim1=1, dim2=2).sum(-1) - 1.0)
    return float(torch.rad2deg(angle.square().mean().sqrt()))


def quaternion(R: Tensor) -> Tensor:
    """Rotation (3, 3) to a unit quaternion (x, y, z, w): the dominant eigenvector of Bar-Itzhack's matrix."""
    m = R.double()
    K = torch.zeros(4, 4, dtype=torch.float64, device=R.device)
    K[0, 0], K[1, 1], K[2, 2] = m[0, 0] - m[1, 1] - m[2, 2], m[1, 1] - m[0, 0] - m[2, 2], m[2, 2] - m[0, 0] - m[1, 1]
    K[3, 3] = m.trace()
    K[0, 1], K[0, 2], K[1, 2] = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    K[0, 3], K[1, 3], K[2, 3] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    q = torch.linalg.eigh(K, UPLO="U")[1][:, -1]
    return (q if q[3] >= 0 else -q).to(R.dtype)


def align(
    predictions: Sequence[Prediction],
    frame_count: int,
    footage_size: tuple[int, int],
    progress: Progress,
    schedule: Schedule = Schedule(),
) -> Aligned:
    """As :func:`geo4d.alignment.fast.align`, by the paper's objective; all windows in memory at once.

    One focal length serves both axes of the maps, as in the reference: footage of another ratio gets pixels that
    are not square. Dynamic probability is 0, for the reference has none. Raises SolveError where windows differ in
    size, hold neither point maps nor depth with cameras, share no frame with those before them, leave frames out,
    or a frame fits no camera.
    """
    windows = windows_of(predictions)
    left_out = sorted(set(range(frame_count)) - set(windows.frames.flatten().tolist()))
    if left_out or int(windows.frames.max()) >= frame_count:
        raise SolveError(
            "alignment_failed",
            f"Reference alignment needs windows that cover the shot: {len(left_out)} of {frame_count} frames are in "
            f"none, and the last frame of the windows is {int(windows.frames.max())}.",
            "Use the default alignment, which bridges gaps.",
        )
    parameters = initial_parameters(windows)
    losses = optimise(parameters, windows, schedule, progress)
    width, height = footage_size
    depth = parameters.depth().numpy().reshape(-1, windows.height, windows.width)
    weight = torch.zeros(len(depth), windows.height * windows.width)
    for frames, w in zip(windows.frames, windows.weight, strict=True):
        weight[frames] = torch.maximum(weight[frames], w)
    size = 1.0 / float(np.median(depth))
    R, t = (x.double().numpy() for x in parameters.c2w())
    c2w = np.tile(np.eye(4), (frame_count, 1, 1))
    c2w[:, :3, :3], c2w[:, :3, 3] = R, size * t
    focal = float(parameters.focal())
    points = size * confident_points(parameters, weight, windows).double().numpy()
    solve = Solve(
        width=width,
        height=height,
        motion="moving",
        c2w=c2w,
        fx=np.full(frame_count, focal * width / windows.width),
        fy=np.full(frame_count, focal * height / windows.height),
        cx=np.full(frame_count, width / 2),
        cy=np.full(frame_count, height / 2),
        k1=0.0,
        pose_source=np.full(frame_count, POSE_SOLVED, dtype=np.uint8),
        reprojection_error_px=np.full(frame_count, np.nan, dtype=np.float32),
        points=points,
        points_rgb=np.full((len(points), 3), 128, dtype=np.uint8),
        points_error_px=np.zeros(len(points), dtype=np.float32),
        statistics={"alignment_loss": losses[-1], "windows": len(windows.frames)},
    )
    confidence = (weight / (1 + weight)).numpy().reshape(depth.shape)
    return Aligned(
        solve=solve,
        width=windows.width,
        height=windows.height,
        depth=(size * depth).astype(np.float16),
        confidence=confidence.astype(np.float16),
        dynamic=np.zeros(depth.shape, dtype=np.float16),
        window_ok=np.ones(len(windows.frames), dtype=bool),
        statistics=dict(solve.statistics),
    )


def confident_points(parameters: Parameters, weight: Tensor, windows: Windows) -> Tensor:
    """Up to a few thousand world points (P, 3) of pixels with ``weight`` (N, H * W) above one half, evenly spread."""
    world = world_points(parameters, windows.height, windows.width).reshape(-1, 3)
    trusted = torch.nonzero(weight.flatten() > _TRUSTED_WEIGHT)[:, 0]
    return world[trusted[torch.linspace(0, len(trusted) - 1, min(_POINTS, len(trusted))).long()]]
