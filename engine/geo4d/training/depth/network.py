"""The depth network: a small convolutional pyramid that corrects the untrained multi-view depth.

It sees what the untrained method measured, filled and guessed, the picture, and a plane sweep around the untrained
surface (:mod:`geo4d.multiview.network_input`, :mod:`geo4d.multiview.plane_sweep`), and says by how much log
inverse depth is off, how sure it is, and what moves. Its last layer starts at zero: untrained it changes nothing.
Only convolutions, ReLU, addition and nearest upsampling, so that OpenCV runs it without torch.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn

from ...multiview import network_input, plane_sweep

VERSION = 3  # of the architecture; weights of another version are refused
DEEP_DROPOUT = 0.2  # of channels that come from coarser levels, while training
# 4 sub-pixels of log ratio, 1 log error, 4 sub-pixels of moving logit, logits of no correction and each candidate,
# and how much of the correction to apply: one number, set after training by validation.temper.
OUTPUTS = 11 + len(network_input.CANDIDATES)
PREFERENCE = 3.5  # logit of no correction at the start


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; the default is what ships."""

    widths: tuple[int, ...] = (16, 32, 64, 96, 96)  # channels at 1/2, 1/4, 1/8, 1/16, 1/32
    blocks: tuple[int, ...] = (1, 2, 2, 2, 2)  # residual blocks of the encoder, a level

    def as_dict(self) -> dict:
        return {"version": VERSION, **{k: list(v) for k, v in asdict(self).items()}}


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity; the second starts small so that deep stacks train unnormalised."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        self.second.weight.data *= 0.2
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class DepthNetwork(nn.Module):
    """maps (B, 35, H / 2, W / 2) and sweep (B, 33, H / 4, W / 4) to (B, 17, H / 2, W / 2), see :data:`OUTPUTS`."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        widths, blocks = self.config.widths, self.config.blocks
        self.stem = nn.Conv2d(network_input.CHANNELS, widths[0], 3, padding=1)
        self.cost = nn.Conv2d(plane_sweep.CHANNELS, widths[1], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Residual(w) for _ in range(n))) for w, n in zip(widths, blocks, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(Residual(w) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], OUTPUTS, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.tensor(
            [0.0] * 4 + [-3.0] + [0.0] * 4 + [PREFERENCE] + [0.0] * len(network_input.CANDIDATES) + [1.0]
        )

    def forward(self, maps: torch.Tensor, sweep: torch.Tensor) -> torch.Tensor:
        skips = [self.encoder[0](torch.relu(self.stem(maps)))]
        for level, down in enumerate(self.down, start=1):
            x = down(skips[-1])
            if level == 1:
                x = x + self.cost(sweep)
            skips.append(self.encoder[level](torch.relu(x)))
        x = skips.pop()
        for level in reversed(range(len(skips))):
            x = self.up[level](x)
            if level >= 1:  # what is far away in the picture is a hint and no more: scenes must not be learned by heart
                x = nn.functional.dropout2d(x, DEEP_DROPOUT, self.training)
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.decoder[level](torch.relu(x + skips[level]))
        return self.head(x)


def correction(output: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Log ratio (B, 4, h, w) by which inverse depth is to be corrected: the mean of the candidates, and a rest.

    The same as :func:`geo4d.multiview.network.correction`, differentiable, and the whole of it.
    """
    candidates = maps[:, list(network_input.CANDIDATES)]
    share = torch.softmax(output[:, 9:-1], dim=1)[:, 1:]
    return (share * candidates).sum(1, keepdim=True) + output[:, :4]


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
