"""Sizes of a network of the VGGT family, read off the shapes of its tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

SPATIAL, TEMPORAL = "cross_view_global_fusion", "cross_time_local_fusion"
CAMERA, DENSE, FUSION = "spatial_head", "dense_head", "spatiotemporal_dense_fusion"
_RELEASED_TAPS = (4, 11, 17, 23)
_DINO_HEAD = 64  # channels of an attention head in every released DINOv2


@dataclass(frozen=True)
class Encoder:
    """The image encoder; ``heads`` 0 = a bare patch convolution in its place."""

    width: int
    depth: int = 0
    heads: int = 0
    hidden: int = 0
    registers: int = 0
    grid: int = 0  # side of the position table
    mask_token: bool = False


@dataclass(frozen=True)
class DenseHead:
    features: int
    channels: tuple[int, int, int, int]
    hidden: int  # channels of the last convolution but one
    outputs: int  # 2: depth and confidence; 4: point and confidence


@dataclass(frozen=True)
class Sizes:
    """Everything that fixes the network. ``window`` 0 = VGGT, without the temporal trunk and its fusion."""

    width: int
    depth: int
    heads: int
    hidden: int
    registers: int
    encoder: Encoder
    camera_depth: int
    camera_heads: int
    camera_hidden: int
    depth_head: DenseHead
    point_head: DenseHead | None
    window: int = 0
    taps: tuple[int, ...] = _RELEASED_TAPS
    patch: int = 14
    group: int = 1  # blocks of each kind in a row
    rope_base: float = 100.0
    image: int = 518  # longer side of what it was trained on
    frames: int = 32  # longest window it is good for


@dataclass(frozen=True)
class Unwritten:
    """What no tensor's shape tells, with the released values; a checkpoint's own configuration overrides them."""

    encoder_heads: int | None = None  # None = width / 64
    camera_heads: int = 16
    taps: tuple[int, ...] = _RELEASED_TAPS
    rope_base: float = 100.0
    group: int = 1
    image: int | None = None
    frames: int = 32

    @classmethod
    def from_config(cls, config: Mapping) -> "Unwritten":
        """From the ``model_config`` of a release; fields that it lacks keep their released values."""
        heads = config.get("spatial_head_options") or {}
        return cls(
            encoder_heads=config.get("encoder_heads"),
            camera_heads=int(heads.get("num_heads", 16)),
            taps=tuple(config.get("cached_layer_indices") or _RELEASED_TAPS),
            rope_base=float(config.get("rope_freq", 100)),
            group=int(config.get("aa_block_size", 1)),
            image=config.get("img_size"),
            frames=int(config.get("window_frames", 32)),
        )


def to_config(sizes: Sizes) -> dict:
    """What :meth:`Unwritten.from_config` reads, as plain values."""
    return {
        "encoder_heads": sizes.encoder.heads or None,
        "spatial_head_options": {"num_heads": sizes.camera_heads},
        "cached_layer_indices": list(sizes.taps),
        "rope_freq": sizes.rope_base,
        "aa_block_size": sizes.group,
        "img_size": sizes.image,
        "window_frames": sizes.frames,
    }


def infer(shapes: Shapes, unwritten: Unwritten) -> Sizes:
    """Sizes from the internal names and shapes. Raises KeyError or ValueError with a tensor's name where it cannot."""
    registers, width = shapes[f"{SPATIAL}.register_token"][2:]
    first = f"{SPATIAL}.frame_blocks.0"
    head = shapes[f"{first}.attn.q_norm.weight"][0]
    encoder = _encoder(shapes, unwritten)
    window = 0
    if any(name.startswith(TEMPORAL) for name in shapes):
        window = shapes[f"{TEMPORAL}.temporal_blocks.0.attn.relative_time_bias"][1]
    sizes = Sizes(
        width=width,
        depth=_count(shapes, f"{SPATIAL}.frame_blocks"),
        heads=width // head,
        hidden=shapes[f"{first}.mlp.fc1.weight"][0],
        registers=registers,
        encoder=encoder,
        camera_depth=_count(shapes, f"{CAMERA}.trunk"),
        camera_heads=unwritten.camera_heads,
        camera_hidden=shapes[f"{CAMERA}.pose_branch.fc1.weight"][0],
        depth_head=_dense(shapes, f"{DENSE}.depth_head"),
        point_head=_dense(shapes, f"{DENSE}.point_head") if _has(shapes, f"{DENSE}.point_head.") else None,
        window=window,
        taps=unwritten.taps,
        patch=shapes[_projection(shapes)][2],
        group=unwritten.group,
        rope_base=unwritten.rope_base,
        image=unwritten.image or (encoder.grid * 14 if encoder.grid else 518),
        frames=unwritten.frames,
    )
    _check(sizes, head)
    return sizes


def _check(sizes: Sizes, head: int) -> None:
    if sizes.width % head or head % 4:
        raise ValueError(f"{sizes.width} channels are not heads of {head}")
    if len(sizes.taps) != 4 or not all(0 <= tap < sizes.depth for tap in sizes.taps):
        raise ValueError(f"the layers {sizes.taps} are not four of {sizes.depth}")
    if sizes.depth % sizes.group or 2 * sizes.width % sizes.camera_heads:
        raise ValueError(f"{sizes.camera_heads} camera heads or groups of {sizes.group} blocks do not divide it")
    if sizes.window and sizes.window % 2 == 0:
        raise ValueError(f"a window of {sizes.window} frames has no middle")


def _projection(shapes: Shapes) -> str:
    bare = f"{SPATIAL}.patch_embed.proj.weight"
    return bare if bare in shapes else f"{SPATIAL}.patch_embed.patch_embed.proj.weight"


def _encoder(shapes: Shapes, unwritten: Unwritten) -> Encoder:
    prefix = f"{SPATIAL}.patch_embed"
    if f"{prefix}.proj.weight" in shapes:
        return Encoder(shapes[f"{prefix}.proj.weight"][0])
    _, count, width = shapes[f"{prefix}.pos_embed"]
    grid = round((count - 1) ** 0.5)
    if grid * grid != count - 1:
        raise ValueError(f"{prefix}.pos_embed has {count - 1} positions, which are no square")
    heads = unwritten.encoder_heads or max(1, width // _DINO_HEAD)
    if width % heads:
        raise ValueError(f"{width} channels of the encoder are not {heads} heads")
    return Encoder(
        width=width,
        depth=_count(shapes, f"{prefix}.blocks"),
        heads=heads,
        hidden=shapes[f"{prefix}.blocks.0.mlp.fc1.weight"][0],
        registers=shapes[f"{prefix}.register_tokens"][1],
        grid=grid,
        mask_token=f"{prefix}.mask_token" in shapes,
    )


def _dense(shapes: Shapes, prefix: str) -> DenseHead:
    hidden, _ = shapes[f"{prefix}.scratch.output_conv2.0.weight"][:2]
    return DenseHead(
        features=shapes[f"{prefix}.scratch.layer1_rn.weight"][0],
        channels=tuple(shapes[f"{prefix}.projects.{k}.weight"][0] for k in range(4)),
        hidden=hidden,
        outputs=shapes[f"{prefix}.scratch.output_conv2.2.weight"][0],
    )


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


def _count(shapes: Shapes, prefix: str) -> int:
    """How many blocks ``prefix``.0, .1, ... there are, by the largest number: a missing one is named later."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = [int(match[1]) for name in shapes if (match := pattern.match(name))]
    if not numbers:
        raise KeyError(f"{prefix}.0")
    return max(numbers) + 1
