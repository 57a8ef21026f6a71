"""The depth network behind the untrained method: weights that ship with the engine, run by OpenCV."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from ..errors import ModelMissing
from .composition import Composition
from .depth_frame import DepthFrame
from .network_input import CANDIDATES, MOVING, SWAPPED, NetworkInput, fold, mirror

WEIGHTS = Path(__file__).parent / "weights" / "depth.onnx"
LARGEST_RATIO = 1.5  # of log inverse depth: how far the network may move the untrained depth


def shipped_network() -> "LearnedDepth | None":
    """The network that ships with the engine; None where there is no file, and depth stays as measured."""
    return LearnedDepth() if WEIGHTS.exists() else None


def shipped_identity() -> str | None:
    """Hash of the shipped weights, None where there are none."""
    return hashlib.blake2b(WEIGHTS.read_bytes(), digest_size=16).hexdigest() if WEIGHTS.exists() else None


class LearnedDepth:
    """The network, ready to correct frames."""

    def __init__(self, weights: Path = WEIGHTS):
        try:
            self._net = cv2.dnn.readNetFromONNX(str(weights))
        except cv2.error as error:
            raise ModelMissing(
                "weights_unreadable",
                f"The weights of the depth network at {weights} cannot be read: {error}.",
                "Install the program again; without the file the untrained method is used.",
            ) from error
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)

    def output(self, maps: np.ndarray, sweep: np.ndarray) -> np.ndarray:
        """Raw output (17, h, w) for maps (35, h, w) and sweep (33, h / 2, w / 2)."""
        self._net.setInput(np.ascontiguousarray(maps[None]), "maps")
        self._net.setInput(np.ascontiguousarray(sweep[None]), "sweep")
        return self._net.forward()[0]

    def refine(self, composition: Composition, tensors: NetworkInput, sweep: np.ndarray) -> DepthFrame:
        """The untrained result, corrected."""
        h, w = composition.d.shape
        output = self.output(tensors.maps, sweep)
        shift = correction(output, tensors.maps)
        # The picture in a mirror is as good a question; the mean of both answers has the smaller error.
        mirrored_maps = mirror(tensors.maps)
        mirrored = self.output(mirrored_maps, sweep[..., ::-1])
        shift = (shift + _mirror_back(correction(mirrored, mirrored_maps))) / 2
        # What moves may come nearer, not recede: a mover taken for a hole in the scene behind it is the worse mistake.
        shift = np.where(shift < 0, shift * (1 - tensors.maps[MOVING]), shift)
        log_error = (output[4] + mirrored[4, :, ::-1]) / 2
        more_moving = (output[5:9] + _mirror_back(mirrored[5:9])) / 2

        d = composition.d * np.exp(np.clip(fold(shift)[:h, :w], -LARGEST_RATIO, LARGEST_RATIO))
        error = np.exp(np.clip(log_error, -6, 2))  # expected absolute error of log depth
        confidence = np.repeat(np.repeat(confidence_of(error), 2, 0), 2, 1)[:h, :w]
        before = np.clip(tensors.maps[MOVING], 0.02, 0.98)
        moving = 1 / (1 + np.exp(-fold(np.log(before / (1 - before)) + more_moving)[:h, :w]))
        return DepthFrame(
            (1 / np.maximum(d, 1e-12)).astype(np.float32), confidence.astype(np.float32), moving.astype(np.float32)
        )


def correction(output: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Log ratio (4, h, w) by which inverse depth is to be corrected, from the network's output and its maps.

    A weighted mean of what the pixel could be (as it is, the static scene, the floor, planes through measured
    points, what stands on the floor), a rest for each sub-pixel, and of both the share that the network was found to
    be right about.
    """
    logits = output[9:-1]
    weights = np.exp(logits - logits.max(axis=0))
    mean = (weights[1:] * maps[list(CANDIDATES)]).sum(axis=0) / weights.sum(axis=0)
    return output[-1] * (mean + output[:4])


def _mirror_back(channels: np.ndarray) -> np.ndarray:
    """Sub-pixels (4, h, w) of a mirrored picture as those of the picture."""
    return channels[list(SWAPPED), :, ::-1]


def confidence_of(error: np.ndarray) -> np.ndarray:
    """Confidence 0..1 of an expected relative error of depth: a half at 4 %."""
    return 1 / (1 + (error / 0.04) ** 1.5)
