"""The whole network: encoder, trunks, fusion, heads; bounded in memory by how many frames are worked on at once."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import dense_head
from .block import LayerNorm, Linear, grid_positions, rotation
from .by_frames import spans, update
from .camera_head import CameraHead
from .dense_head import DenseHead
from .sizes import CAMERA, DENSE, FUSION, SPATIAL, TEMPORAL, Sizes
from .trunk import SpatialTrunk, TemporalTrunk


@dataclass
class Output:
    """Of S frames at H x W. World = about the first frame's camera; one unknown scale for all.

    ``codes`` (4, S, 9) are the rounds of the camera head, see :mod:`.pose`; the last is the result.
    ``spatial_depth`` is what depth would be without the temporal trunk.
    """

    codes: Tensor
    depth: Tensor  # (S, H, W)
    depth_confidence: Tensor  # (S, H, W), >= 1
    points: Tensor | None = None  # (S, H, W, 3)
    points_confidence: Tensor | None = None
    spatial_depth: Tensor | None = None
    layers: list[Tensor] | None = None  # what the dense heads were given, (S, P, 2C) each


class Fusion(nn.Module):
    """Spatial tokens plus a gated projection of both trunks' tokens; one gate for each of the four layers."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = LayerNorm(4 * width)
        self.projection = Linear(4 * width, 2 * width)
        self.alpha = nn.Parameter(torch.empty(4))

    def forward(self, k: int, spatial: Tensor, temporal: Tensor) -> Tensor:
        both = torch.cat((spatial.float(), temporal.float()), dim=-1)
        return spatial.float() + self.alpha[k] * self.projection(self.norm(both)).float()


class DenseHeads(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.depth_head = DenseHead(2 * sizes.width, sizes.depth_head, sizes.patch)
        if sizes.point_head:
            self.point_head = DenseHead(2 * sizes.width, sizes.point_head, sizes.patch)


class Network(nn.Module):
    """Names of parts and parameters are those of the 4D release, so that its tensors are assigned as they are."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        setattr(self, SPATIAL, SpatialTrunk(sizes))
        setattr(self, CAMERA, CameraHead(sizes))
        setattr(self, DENSE, DenseHeads(sizes))
        if sizes.window:
            setattr(self, TEMPORAL, TemporalTrunk(sizes))
            setattr(self, FUSION, Fusion(sizes.width))

    @property
    def trunks(self) -> list[nn.Module]:
        return [getattr(self, name) for name in (SPATIAL, TEMPORAL) if hasattr(self, name)]

    @property
    def specials(self) -> int:
        return 1 + self.sizes.registers

    def forward(
        self,
        images: Tensor,
        frames_at_once: int = 8,
        temporal: bool = True,
        spatial_depth: bool = False,
        dtype: torch.dtype = torch.float32,
        keep_layers: bool = False,
    ) -> Output:
        """``images`` (S, 3, H, W) float32 in 0..1, sides divisible by the patch.

        ``temporal`` False leaves the temporal trunk out, which makes 4D-VGGT the VGGT that it grew from;
        ``spatial_depth`` computes that depth too. ``dtype`` is of stored layers, which
        ``keep_layers`` returns.
        """
        grid = tuple(side // self.sizes.patch for side in images.shape[-2:])
        layers, spatial, camera = self._layers(images, grid, frames_at_once, temporal, spatial_depth, dtype)
        codes = getattr(self, CAMERA)(camera.float())
        heads = getattr(self, DENSE)
        depth, confidence = self._dense(heads.depth_head, dense_head.depth, layers, grid, frames_at_once)
        out = Output(codes, depth, confidence)
        if self.sizes.point_head:
            out.points, out.points_confidence = self._dense(
                heads.point_head, dense_head.points, layers, grid, frames_at_once
            )
        if spatial:
            out.spatial_depth, _ = self._dense(heads.depth_head, dense_head.depth, spatial, grid, frames_at_once)
        out.layers = layers if keep_layers else None
        return out

    def _layers(
        self, images: Tensor, grid, at_once: int, temporal: bool, both: bool, dtype: torch.dtype
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Four layers (S, P, 2C) for the heads, the same before fusion where ``both``, camera tokens (S, 2C)."""
        space = getattr(self, SPATIAL)
        x = space.tokens(images, at_once)
        positions = grid_positions(*grid, self.specials, x.device)
        turn = rotation(positions, self.sizes.width // self.sizes.heads, self.sizes.rope_base)
        temporal = temporal and self.sizes.window > 0
        times = getattr(self, TEMPORAL).layers(x.clone(), turn, at_once, dtype) if temporal else None
        layers, before, camera = [], [], None
        # Both trunks advance together, so that a temporal layer is gone as soon as it is fused.
        for k, layer in enumerate(space.layers(x, turn, at_once, dtype)):
            camera = layer[:, 0].clone()
            if times is not None:
                if both:
                    before.append(layer.clone())
                layer = self._fuse(k, layer, next(times), at_once)
            layers.append(layer)
        return layers, before, camera

    def _fuse(self, k: int, layer: Tensor, time: Tensor, at_once: int) -> Tensor:
        fusion = getattr(self, FUSION)
        return update(layer, at_once, lambda a, b: fusion(k, layer[a:b], time[a:b]).to(layer.dtype))

    def _dense(self, head, activate, layers, grid, at_once: int) -> tuple[Tensor, Tensor]:
        """Maps of all frames through one head, a few frames at a time."""
        results = None
        for a, b in spans(len(layers[0]), at_once):
            maps = activate(head([layer[a:b, self.specials :].float() for layer in layers], grid))
            if torch.is_grad_enabled():
                results = maps if results is None else [torch.cat(pair) for pair in zip(results, maps, strict=True)]
                continue
            if results is None:
                results = [part.new_empty(len(layers[0]), *part.shape[1:]) for part in maps]
            for result, part in zip(results, maps, strict=True):
                result[a:b] = part
        return tuple(results)
