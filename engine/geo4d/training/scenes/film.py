"""What a camera does to light: exposure, drift, vignette, soft lens, tone curve, noise, compression."""

import numpy as np
import torch

_DCT = torch.tensor(
    [[(np.sqrt(1 / 8) if k == 0 else 0.5) * np.cos((2 * n + 1) * k * np.pi / 16) for n in range(8)] for k in range(8)],
    dtype=torch.float32,
)


def develop(linear: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """One clip's linear colours (F, H, W, 3) to filmed frames, uint8 (F, H, W, 3). All chance is ``rng``'s."""
    count, height, width = linear.shape[:3]
    device = linear.device
    level = torch.quantile(linear[:: max(1, count // 4), ::4, ::4].flatten().cpu(), 0.9).item()
    drift = rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, count) + rng.normal(0, rng.choice([0.0, 0.0, 0.01]), count)
    exposure = rng.uniform(0.5, 0.95) / max(level, 1e-3) * np.exp(drift)
    balance = np.exp(rng.normal(0, 0.06, 3))
    gain = torch.tensor(exposure[:, None] * balance, dtype=torch.float32, device=device)
    y, x = (torch.linspace(-1, 1, n, device=device) for n in (height, width))
    vignette = 1 - rng.uniform(0, 0.25) * (y[:, None] ** 2 + x**2) / 2
    image = linear * gain[:, None, None] * vignette[..., None]
    image = _blur(image, rng.uniform(0.0, 0.75) if rng.random() < 0.8 else rng.uniform(0.75, 1.3))
    image = image.clamp(min=0)
    image = image / (1 + 0.15 * image * image)  # a soft shoulder
    image = image.clamp(0, 1) ** (1 / rng.uniform(1.9, 2.4))
    noise = rng.uniform(0.2, 4.0) / 255
    seed = int(rng.integers(2**31))
    grain = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    if rng.random() < 0.5:
        grain = _blur(grain, 0.6) * 1.6
    image = image + noise * (0.5 + image) * grain
    if rng.random() < 0.7:
        image = compress(image, rng.uniform(1.0, 14.0))
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of (F, H, W, 3)."""
    if sigma < 0.2:
        return image
    radius = max(1, int(np.ceil(2.5 * sigma)))
    offsets = torch.arange(-radius, radius + 1, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = image.permute(0, 3, 1, 2).flatten(0, 1)[:, None]
    x = torch.nn.functional.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = torch.nn.functional.conv2d(x, kernel[None, None, None])
    x = torch.nn.functional.conv2d(x, kernel[None, None, :, None])
    return x[:, 0].unflatten(0, (len(image), 3)).permute(0, 2, 3, 1)


def compress(image: torch.Tensor, step: float) -> torch.Tensor:
    """Quantised 8 x 8 cosine transform of (F, H, W, 3) in 0..1, as block codecs leave it.

    ``step`` is the quantiser of the lowest frequencies in grey levels; high ones and colour are cut harder.
    """
    height, width = image.shape[1:3]
    to_ycc = torch.tensor(
        [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=image.dtype, device=image.device
    )
    ycc = (image @ to_ycc.T).permute(0, 3, 1, 2)
    pad = (0, -width % 8, 0, -height % 8)
    blocks = torch.nn.functional.pad(ycc, pad, mode="replicate")
    blocks = blocks.unfold(2, 8, 8).unfold(3, 8, 8)  # (F, 3, h, w, 8, 8)
    dct = _DCT.to(image.device)
    k = torch.arange(8, device=image.device)
    table = step / 255 * (1 + 0.6 * (k[:, None] + k))
    colour = torch.tensor([1.0, 2.0, 2.0], device=image.device)[:, None, None, None, None]
    coefficients = dct @ blocks @ dct.T
    coefficients = (coefficients / (table * colour)).round() * (table * colour)
    blocks = dct.T @ coefficients @ dct
    ycc = blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
    return ycc.permute(0, 2, 3, 1) @ torch.linalg.inv(to_ycc).T
