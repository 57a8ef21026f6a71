"""The learned depth: shipped weights run without torch, help where they should, and fail in clear words."""

import subprocess
import sys

import numpy as np
import pytest
from geo4d.errors import ModelMissing
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview import network, network_input
from geo4d.multiview.composition import Composition
from geo4d.multiview.depth import estimate_depth
from geo4d.progress import Silent
from geo4d.tracking.tracks import Tracks
from plane_world import F, H, W, World


def no_tracks() -> Tracks:
    none = np.zeros(0, np.int32)
    return Tracks(W, H, F, none, none, np.zeros((0, 2), np.float32), np.zeros(0, np.float32))


def depth_error(world, frames):
    """AbsRel of frames against the world's true depth, aligned by one median ratio."""
    ratio = np.concatenate([(frame.depth / world.truth(i)[0]).ravel() for i, frame in frames])
    return float(np.mean(np.abs(ratio / np.median(ratio) - 1)))


@pytest.mark.skipif(not network.WEIGHTS.exists(), reason="no weights of the depth network in this checkout")
def test_shipped_weights_do_not_spoil_what_is_well_measured():
    world = World()
    have = frozenset(range(F)) - {4, 5, 6}
    untrained, learned = (
        list(estimate_depth(world, world.solve(), no_tracks(), (W, H), Silent(), have, weights))
        for weights in (None, network.shipped_network())
    )
    assert not np.array_equal(untrained[0][1].depth, learned[0][1].depth)
    assert depth_error(world, learned) < depth_error(world, untrained) + 0.005
    for _, frame in learned:
        assert frame.depth.shape == (H, W) and np.isfinite(frame.depth).all() and (frame.depth > 0).all()
        assert frame.confidence.min() >= 0 and frame.confidence.max() <= 1
        assert frame.dynamic.min() >= 0 and frame.dynamic.max() <= 1


def test_engine_needs_no_torch():
    code = "import sys, geo4d.pipeline, geo4d.multiview.network; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_damaged_weights_are_named(tmp_path):
    path = tmp_path / "depth.onnx"
    path.write_bytes(b"\x08\x07 not a network")
    with pytest.raises(ModelMissing, match=r"depth\.onnx cannot be read"):
        network.LearnedDepth(path)


def test_fold_undoes_unfold_and_padding_repeats_the_edge():
    image = np.arange(64 * 32, dtype=np.float32).reshape(64, 32)
    np.testing.assert_array_equal(network_input.fold(network_input.unfold(image)), image)
    padded = network_input.pad(image[:50, :30])
    assert padded.shape == (64, 32)
    assert (padded[50:, :30] == image[49, :30]).all()


def random_frame(seed, width, height):
    """A lens, inverse depth, weight and picture."""
    rng, shape = np.random.default_rng(seed), (height, width)
    lens = Intrinsics(width, height, 60.0, 60.0, width / 2, height / 2)
    d, weight = rng.uniform(0.1, 0.5, shape).astype(np.float32), rng.uniform(0, 1, shape).astype(np.float32)
    return lens, d, weight, rng.integers(0, 255, (*shape, 3), dtype=np.uint8)


def test_input_does_not_know_the_worlds_scale():
    lens, d, weight, rgb = random_frame(0, 50, 40)

    def tensors(scale):
        s = np.float32(scale)
        maps = Composition(s * d, weight, s * 0.9 * d, s * 0.7 * d, s * d, weight, weight)
        return network_input.network_input(rgb, lens, maps, np.where(weight > 0.9, s * 1.1 * d, 0))

    one, other = tensors(1), tensors(8)
    assert one.maps.shape == (network_input.CHANNELS, 32, 32)
    np.testing.assert_allclose(one.maps, other.maps, atol=2e-4)
    assert np.ptp(one.maps[:12]) > 0.5


def test_the_mirror_shows_the_mirrored_scene():
    """Channels of a mirrored frame are those that the mirrored picture and depth would have given."""
    lens, d, weight, rgb = random_frame(2, 64, 32)

    def maps(flip):
        f = (lambda a: a[:, ::-1]) if flip else (lambda a: a)
        composition = Composition(f(1.1 * d), f(weight), f(0.9 * d), None, f(d), f(weight), f(weight))
        return network_input.network_input(f(rgb), lens, composition, np.zeros_like(d)).maps

    known = slice(0, network_input.PLANES)  # planes are found at random, here from noise
    np.testing.assert_allclose(network_input.mirror(maps(False))[known], maps(True)[known], atol=1e-5)
    np.testing.assert_array_equal(network_input.mirror(network_input.mirror(maps(False))), maps(False))


def test_what_moves_may_come_nearer_and_not_recede():
    """A network that moves everything farther leaves movers; one that moves everything nearer takes them along."""

    class Push(network.LearnedDepth):
        def __init__(self, ratio):
            self.ratio = ratio

        def output(self, maps, sweep):
            out = np.zeros((11 + len(network_input.CANDIDATES), *maps.shape[1:]), np.float32)
            out[:4], out[9], out[-1] = self.ratio, 30.0, 1.0  # all say to "no correction", and a rest
            return out

    lens = Intrinsics(64, 32, 60.0, 60.0, 32.0, 16.0)
    d = np.full((32, 64), 0.25, np.float32)
    moving = np.zeros_like(d)
    moving[:, 32:] = 1
    composition = Composition(d, d, d, None, d, d, moving)
    tensors = network_input.network_input(np.zeros((32, 64, 3), np.uint8), lens, composition, np.zeros_like(d))
    farther, nearer = (Push(r).refine(composition, tensors, np.zeros((33, 8, 16))).depth for r in (-0.2, 0.2))
    np.testing.assert_allclose(farther[:, :32], 4 * np.exp(0.2), rtol=1e-4)
    np.testing.assert_allclose(farther[:, 32:], 4, rtol=1e-4)
    np.testing.assert_allclose(nearer, 4 * np.exp(-0.2), rtol=1e-4)
