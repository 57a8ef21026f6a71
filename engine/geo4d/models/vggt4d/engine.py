"""The VGGT family behind the one protocol of all windowed models."""

import numpy as np
import torch
from torch import Tensor

from ...errors import BadRequest, GeoError
from ...progress import Progress
from ...windows import cut_windows
from ..device import choose_device, free_bytes, until_it_fits
from ..prediction import Prediction
from ..windowed import ModelOptions, ModelRequest, OneByOne
from . import images, memory, motion, pose
from .checkpoint import load
from .memory import Demand, Plan
from .network import Network, Output
from .residence import place

# Frames. Longer windows agree better within and cost more a frame; an overlap of a quarter holds neighbours together.
_ORDINARY, _SHORT = 32, 12
_LEAST_FRAMES = 2


class Vggt(OneByOne):
    """A :class:`~geo4d.models.windowed.WindowedModel`."""

    def __init__(self, network: Network, request: ModelRequest, size, windows, plan: Plan, device, dtype, progress):
        self.network, self.request, self.size, self.windows = network, request, size, windows
        self.plan, self.device, self.dtype, self.progress = plan, device, dtype, progress

    def predict(self, positions: np.ndarray, number: int = 0) -> Prediction:
        """The window at ``positions`` (T,) of the shot. Raises OutOfMemory, or GeoError for broken weights."""
        pictures = self._read(positions)
        width, height = self.size
        out = self._forward(pictures)
        values = (out.codes, out.depth, out.depth_confidence, out.points, out.points_confidence)
        extrinsics, intrinsics = pose.decode(out.codes[-1].double(), height, width)
        if not all(torch.isfinite(x).all() for x in (*values, extrinsics) if x is not None):
            raise GeoError(
                "model_not_finite",
                f"The model returned values that are not numbers in window {number + 1} of {len(self.windows)}.",
                "Use float32 (--precision float32), and check the weights with geo4d models verify.",
            )
        w2c = torch.eye(4, dtype=torch.float64).repeat(len(extrinsics), 1, 1)
        w2c[:, :3] = extrinsics.double()
        cameras = w2c[0] @ torch.linalg.inv(w2c)
        fx, fy = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
        prediction = Prediction(
            positions=np.asarray(positions, np.int64),
            width=width,
            height=height,
            depth=out.depth.numpy(),
            confidence=out.depth_confidence.numpy(),
            c2w=cameras.numpy(),
            fx=fx.double().numpy(),
            fy=fy.double().numpy(),
            dynamic=motion.moving(out.depth, cameras, fx, fy, out.spatial_depth).numpy(),
        )
        if out.points is not None:
            world = w2c[0].float()
            prediction.points = (out.points @ world[:3, :3].T + world[:3, 3]).numpy()
            prediction.points_weight = out.points_confidence.numpy()
        return prediction

    def _read(self, positions: np.ndarray) -> Tensor:
        """(T, 3, H, W) float32 in 0..1."""
        positions = [int(p) for p in positions]
        if self.request.options.exact:  # resized by the released loader's arithmetic from the footage's own pixels
            native = self.request.read(positions, (self.request.width, self.request.height))
            frames = np.stack([images.resample(frame, *self.size) for frame in native])
        else:
            frames = self.request.read(positions, self.size)
        return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255

    @torch.inference_mode()
    def _forward(self, pictures: Tensor) -> Output:
        """All maps on the CPU; with less at a time where memory ends."""

        def attempt() -> Output:
            out = self.network(
                pictures.to(self.device),
                self.plan.frames_at_once,
                spatial_depth=self.network.sizes.window > 0,
                dtype=self.dtype,
            )
            return Output(**{name: None if x is None else x.float().cpu() for name, x in vars(out).items()})

        def shrink() -> bool:
            cut = self.plan.smaller()
            if cut is None:
                raise memory.too_little(self.plan.demand, free_bytes(self.device))
            if cut.streamed and not self.plan.streamed:
                self.network = None  # its copies of the weights go before the file is opened again
                self.network = load(self.request.options.weights)
                place(self.network, self.device, self.dtype, streamed=True)
            self.plan = cut
            self.progress.log(f"out of memory; going on with {self.plan}")
            return True

        return until_it_fits(attempt, shrink, self.device)


def open_model(request: ModelRequest, progress: Progress) -> Vggt:
    """A model of the family with its weights. Raises BadRequest, ModelMissing, OutOfMemory."""
    options = request.options
    if request.frame_count < _LEAST_FRAMES:
        raise BadRequest(
            "too_few_frames",
            f"The shot has {request.frame_count} frame, and a camera's path needs at least {_LEAST_FRAMES}.",
            "Choose a longer range.",
        )
    device = choose_device(options)
    dtype = choose_precision(options, device)
    network = load(options.weights)
    sizes = network.sizes
    size = images.working_size(request.width, request.height, sizes.image, sizes.patch, options.exact)
    windows = cut(request.frame_count, options, sizes.frames)
    demand = Demand(sizes, len(windows[0]), *size, dtype.itemsize)
    plan = memory.plan(demand, free_bytes(device), options.low_memory)
    place(network, device, dtype, plan.streamed)
    kind = "4D-VGGT" if sizes.window else "VGGT"
    progress.log(f"{kind} at {size[0]} x {size[1]} in {str(dtype).removeprefix('torch.')} on {device}: {plan}")
    if sizes.window:
        gates = ", ".join(f"{gate:.3g}" for gate in network.spatiotemporal_dense_fusion.alpha.tolist())
        progress.log(f"gates of the temporal trunk: {gates}")
    return Vggt(network, request, size, windows, plan, device, dtype, progress)


def cut(frame_count: int, options: ModelOptions, most: int = 32) -> list[np.ndarray]:
    """Positions of each window of at most ``most`` frames; a short shot is one window of its own length."""
    length = min(most, _SHORT if options.low_memory else _ORDINARY)
    if frame_count <= length:
        return [np.arange(frame_count, dtype=np.int64)]
    stride = length - length // 4 if options.stride is None else min(options.stride, length)
    return cut_windows(frame_count, length, max(1, stride))


def choose_precision(options: ModelOptions, device: torch.device) -> torch.dtype:
    """Of the trunks' matrices; on an accelerator bfloat16, whose range they were trained with. Heads stay float32."""
    if options.precision != "auto":
        return getattr(torch, options.precision)
    return torch.bfloat16 if device.type == "cuda" else torch.float32
