"""One whole window with the same weights, by the engine and by the plain implementation, in one run."""

import gc

import numpy as np
import plain
import torch
from geo4d.models.geo4d.clip import ImageTower, TextTower
from geo4d.models.geo4d.config import FRAMES
from geo4d.models.geo4d.convert import IMAGE_PARTS, POINT_PARTS
from geo4d.models.geo4d.inference import Inference, Window
from geo4d.models.geo4d.resampler import Resampler
from geo4d.models.geo4d.sampler import sample
from geo4d.models.geo4d.schedule import trailing_steps
from geo4d.models.geo4d.settings import Settings
from geo4d.models.geo4d.system import Contexts, System
from geo4d.models.geo4d.unet import UNet
from geo4d.models.geo4d.vae import VAE, latent_sample
from measuring import measure, print_header

_STEPS = 5
_FS = 24
_STRIDE = 4


def random_network(*modules: torch.nn.Module) -> tuple:
    """Modules built on the meta device with weights that keep signals at their size; float32, each made once."""
    draw = torch.Generator().manual_seed(0)
    for module in modules:
        module.to_empty(device="cpu").eval().requires_grad_(False)
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=draw)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return modules


def random_system() -> System:
    with torch.device("meta"):
        parts = UNet(), VAE(parts=IMAGE_PARTS), VAE(parts=POINT_PARTS)
    draw = torch.Generator().manual_seed(1)
    contexts = Contexts(*(torch.randn(1, n, 1024, generator=draw) for n in (77, 77, 256)))
    return System(*random_network(*parts), contexts)


def run_speed(width: int, height: int, stages_only: bool) -> int:
    """Print both tables and the ratio; with ``stages_only`` each stage runs once and is multiplied."""
    threads = torch.get_num_threads()
    print(f"{width} x {height}, {FRAMES} frames, {_STEPS} steps, float32 on the CPU, {threads} threads, random weights")
    system = random_system()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (FRAMES, height, width, 3), dtype=np.uint8)
    with torch.inference_mode():
        weights = [{k: v.contiguous() for k, v in m.state_dict().items()} for m in _networks(system)]
        print_header()
        towers_s = _towers()
        run = _stages if stages_only else _window
        plain_s = [towers_s, *run(_Plain(system, weights, frames))]
        del weights
        gc.collect()
        system.to("cpu", torch.float32)
        ours_s = [0.0, *run(_Ours(system, frames))]
    _print_summary(plain_s, ours_s)
    return 0


def _networks(system: System) -> tuple:
    return system.unet, system.image_vae, system.point_vae


def _towers() -> float:
    """CPU seconds of the context towers, which the plain way runs for every window."""
    with torch.device("meta"):
        modules = TextTower(), ImageTower(), Resampler()
    towers = random_network(*modules)
    return measure("plain: context towers", lambda: plain.context(towers))[1]


class _Plain:
    """Stages of the plain way, for one window."""

    name = "plain"

    def __init__(self, system: System, weights: list[plain.Weights], frames: np.ndarray):
        self.unet, self.image, self.point = weights
        self.context = torch.cat([system.contexts.text, system.contexts.image], dim=1)
        self.config = system.unet.config
        self.pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1.0

    def encode(self, count: int = FRAMES) -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        moments = [plain.encode(self.pictures[i : i + 1], self.image) for i in range(count)]
        return torch.cat([latent_sample(m, torch.randn(m[:, :4].shape, generator=draw)) for m in moments])

    def velocity(self, latent: torch.Tensor, condition: torch.Tensor, time: int) -> torch.Tensor:
        x = torch.cat([latent, condition], dim=1)
        width, head = self.config.model_channels, self.config.num_head_channels
        return plain.velocity(x, self.unet, time, _FS, self.context, width, head)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """All four pictures of every frame of latents (T, 16, h, w); the point maps."""
        for latent in latents:
            point, *rest = latent[None].split(4, dim=1)
            points = plain.decode(point, self.point, confidence=True)
            for one in rest:
                plain.decode(one, self.image)
        return points


class _Ours:
    """The same stages by the engine in its default mode; ``encode`` for as many frames as a window brings anew."""

    name = "geo4d"

    def __init__(self, system: System, frames: np.ndarray):
        size = frames.shape[2], frames.shape[1]
        self.run = Inference(system, lambda p: frames[list(p)], len(frames), size, _FS, Settings(steps=_STEPS))
        self.system = system

    def encode(self, count: int = FRAMES) -> torch.Tensor:
        self.run._moments.clear()
        return self.run._condition(np.arange(count), None)[0].transpose(0, 1)

    def velocity(self, latent: torch.Tensor, condition: torch.Tensor, time: int) -> torch.Tensor:
        return self.system.velocity(latent, condition, time, _FS)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        window = Window(0, np.arange(len(latents)), None)
        return torch.from_numpy(self.run._decode(latents, window).points)


def _window(way) -> list[float]:
    """CPU seconds of encoding, denoising and decoding one whole window."""
    condition, encode_s = measure(f"{way.name}: encode {FRAMES} frames", way.encode)
    condition = condition.transpose(0, 1)[None]
    noise = torch.randn(1, 16, *condition.shape[2:], generator=torch.Generator().manual_seed(3))

    def denoise() -> torch.Tensor:
        return sample(lambda x, t: way.velocity(x, condition, t), noise, trailing_steps(_STEPS))

    latent, denoise_s = measure(f"{way.name}: {_STEPS} steps", denoise)
    _, decode_s = measure(f"{way.name}: decode {FRAMES} frames", lambda: way.decode(latent[0].transpose(0, 1)))
    return [encode_s, denoise_s, decode_s]


def _stages(way) -> list[float]:
    """The same from one frame coded each way and one step."""
    condition, encode_s = measure(f"{way.name}: encode 1 frame", lambda: way.encode(1))
    h, w = condition.shape[-2:]
    draw = torch.Generator().manual_seed(3)
    latent, condition = (torch.randn(1, c, FRAMES, h, w, generator=draw) for c in (16, 4))
    _, step_s = measure(f"{way.name}: 1 step", lambda: way.velocity(latent, condition, 999))
    _, decode_s = measure(f"{way.name}: decode 1 frame, 4 maps", lambda: way.decode(latent[0, :, :1].transpose(0, 1)))
    return [encode_s * FRAMES, step_s * _STEPS, decode_s * FRAMES]


def _print_summary(plain_s: list[float], ours_s: list[float]) -> None:
    # A window in the middle of a shot shares all but a stride of its frames with the one before.
    later_s = [ours_s[0], ours_s[1] * _STRIDE / FRAMES, *ours_s[2:]]
    print(f"\n{'CPU s a window':34} {'plain':>9} {'first':>9} {'later':>9} {'ratio':>9}")
    for name, a, b, c in zip(("context", "encode", "denoise", "decode"), plain_s, ours_s, later_s, strict=True):
        print(f"{name:34} {a:9.1f} {b:9.1f} {c:9.1f} {a / c if c else float('inf'):9.2f}")
    print(f"{'whole window':34} {sum(plain_s):9.1f} {sum(ours_s):9.1f} {sum(later_s):9.1f}", end=" ")
    print(f"{sum(plain_s) / sum(later_s):9.2f}\n{'ratio of the first window':34} {sum(plain_s) / sum(ours_s):9.2f}")
