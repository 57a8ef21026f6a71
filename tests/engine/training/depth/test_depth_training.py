"""Training of the depth network: the loss falls, runs continue, bad states are refused in clear words."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geo4d.errors import BadRequest, GeoError  # noqa: E402
from geo4d.multiview import network_input, plane_sweep  # noqa: E402
from geo4d.multiview.network import LearnedDepth, correction  # noqa: E402
from geo4d.progress import Silent  # noqa: E402
from geo4d.training.depth import examples, validation  # noqa: E402
from geo4d.training.depth import network as torch_twin  # noqa: E402
from geo4d.training.depth.batches import Pool, augment  # noqa: E402
from geo4d.training.depth.export import read_onnx, write_onnx  # noqa: E402
from geo4d.training.depth.network import DepthNetwork, NetworkConfig  # noqa: E402
from geo4d.training.depth.task import DepthTraining  # noqa: E402
from geo4d.training.loop import LOG, STATE, LoopSettings, load_state, train  # noqa: E402
from geo4d.training.scenes import make_clips  # noqa: E402

SMALL = NetworkConfig(widths=(8, 12, 12, 12, 12), blocks=(1, 1, 1, 1, 1))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Examples of three small clips, made by the engine's own multi-view code."""
    out = tmp_path_factory.mktemp("examples")
    for seed in (4, 7, 12):
        clips = make_clips([seed], 6, 96, 128, motion="dolly", movers=True, samples=1)
        found = examples.examples_of_clip(clips, np.random.default_rng(seed), keep=2)
        assert found, "the seed was chosen to give parallax"
        examples.save(out / f"{seed:06d}.npz", found)
    return out


@pytest.fixture()
def settings(tmp_path):
    return LoopSettings(tmp_path / "run", steps=6)


@pytest.fixture()
def task(folder):
    return DepthTraining(folder, "cpu", SMALL)


def test_a_mover_on_the_cameras_own_way_is_solved_as_a_static_point_elsewhere():
    c2w = np.tile(np.eye(4), (6, 1, 1))
    c2w[:, 0, 3] = np.linspace(0, 1, 6)  # a dolly to the right
    K = np.tile(np.array([[200.0, 0, 100], [0, 200, 60], [0, 0, 1]]), (6, 1, 1))

    def track(velocity):
        at = np.array([0.3, 0.2, 4.0]) + np.linspace(0, 1, 6)[:, None] * velocity - c2w[:, :3, 3]
        return at[:, :2] / at[:, 2:] * 200 + [100, 60]

    assert np.allclose(examples._as_if_static(track(np.zeros(3)), c2w, K), [0.3, 0.2, 4.0])
    along = examples._as_if_static(track(np.array([0.5, 0, 0])), c2w, K)
    assert np.allclose(along, [0.6, 0.4, 8.0]), "half as fast as the camera: twice as far"
    assert examples._as_if_static(track(np.array([0, -0.5, 0])), c2w, K) is None, "what rises is no static point"
    assert examples._as_if_static(track(np.array([1.5, 0, 0])), c2w, K) is None, "overtaking: behind the camera"


def test_examples_tell_the_truth_beside_the_untrained_depth(folder):
    stored = examples.load(folder / "000004.npz")
    assert stored["maps"].shape[1:] == (network_input.CHANNELS, 48, 64)
    assert stored["sweep"].shape[1:] == (plane_sweep.CHANNELS, 24, 32)
    valid = stored["valid"]
    off = np.abs(stored["base"].astype(np.float32) - stored["target"])[valid]
    assert 0.001 < np.median(off) < 0.3, "the untrained depth is near the truth and not the truth"


def test_sweep_is_cheapest_near_the_true_surface(folder):
    """Where the untrained depth is right and the picture has texture, the middle hypothesis costs least."""
    curves = []
    for path in sorted(folder.glob("*.npz")):
        stored = examples.load(path)
        off = np.abs(stored["base"] - stored["target"]).astype(np.float32).max(1)
        right = off.reshape(len(off), off.shape[1] // 2, 2, off.shape[2] // 2, 2).max((2, 4)) < 0.03
        curves.append(stored["sweep"][:, : plane_sweep.COUNT].astype(np.float32).transpose(0, 2, 3, 1)[right])
    mean = np.concatenate(curves).mean(0)
    assert abs(int(mean.argmin()) - plane_sweep.COUNT // 2) <= 1
    assert mean[0] > 1.1 * mean.min() and mean[-1] > 1.1 * mean.min()


def test_loss_falls(task, settings):
    state = train(task, replace(settings, steps=100, learning_rate=4e-3), Silent())
    lines = [json.loads(line) for line in (settings.folder / LOG).read_text().splitlines()]
    assert state.step == 100
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]


def test_nan_returns_to_the_last_good_state_and_then_gives_up(task, settings, tmp_path, folder):
    train(task, settings, Silent())
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    stored = examples.load(folder / "000004.npz")
    stored["target"] = np.full_like(stored["target"], math.nan)
    np.savez(poisoned / "000004.npz", **stored)
    progress = Silent()
    with pytest.raises(GeoError, match="not a number") as caught:
        train(DepthTraining(poisoned, "cpu", SMALL), replace(settings, steps=50), progress)
    assert caught.value.code == "training_diverged"
    assert progress.warnings, "each return is told"
    state = load_state(task, settings.folder / STATE, settings)
    assert state.step == 6
    assert all(p.isfinite().all() for p in state.network.parameters())


def test_other_architecture_and_damaged_files_are_refused(task, settings, folder):
    train(task, replace(settings, steps=1), Silent())
    path = settings.folder / STATE
    with pytest.raises(BadRequest, match=r"widths \[8, 12"):
        load_state(DepthTraining(folder, "cpu", NetworkConfig()), path, settings)
    stored = torch.load(path, weights_only=True)
    torch.save({**stored, "version": 99}, path)
    with pytest.raises(BadRequest, match="architecture 99"):
        train(task, settings, Silent())
    path.write_bytes(b"no state")
    with pytest.raises(BadRequest, match="not a training state"):
        train(task, settings, Silent())


def test_no_examples_is_said(tmp_path):
    with pytest.raises(GeoError) as caught:
        DepthTraining(tmp_path, "cpu", SMALL)
    assert caught.value.code == "no_examples"


def test_onnx_in_opencv_is_the_torch_network(tmp_path):
    torch.manual_seed(3)
    network = DepthNetwork(SMALL).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    for half, tolerance in ((False, 1e-4), (True, 2e-2)):
        path = tmp_path / f"{half}.onnx"
        write_onnx(network, path, half=half)
        learned = LearnedDepth(path)
        for h, w in ((32, 48), (48, 32)):
            maps, sweep = torch.randn(1, network_input.CHANNELS, h, w), torch.randn(1, 33, h // 2, w // 2)
            with torch.no_grad():
                oracle = network(maps, sweep)[0].numpy()
            assert oracle.std() > 0.1
            np.testing.assert_allclose(learned.output(maps[0].numpy(), sweep[0].numpy()), oracle, atol=tolerance)


def test_correction_in_numpy_is_the_torch_twins_times_its_share():
    torch.manual_seed(5)
    network = DepthNetwork(SMALL).eval()
    torch.nn.init.normal_(network.head.weight, std=0.2)
    maps, sweep = torch.randn(2, network_input.CHANNELS, 32, 32), torch.randn(2, 33, 16, 16)
    validation.temper(network, 0.7)
    with torch.no_grad():
        output = network(maps, sweep)
        whole = torch_twin.correction(output, maps).numpy()
    assert whole.std() > 0.1
    for k in range(2):
        np.testing.assert_allclose(correction(output[k].numpy(), maps[k].numpy()), 0.7 * whole[k], atol=1e-5)


def test_correction_can_choose_a_plane():
    """With all say given to the first plane, depth becomes that plane's, whatever it was."""
    maps = torch.randn(1, network_input.CHANNELS, 4, 4)
    output = torch.zeros(1, torch_twin.OUTPUTS, 4, 4)
    output[:, 10 + network_input.CANDIDATES.index(network_input.PLANES)] = 50.0
    got = torch_twin.correction(output, maps)
    torch.testing.assert_close(got, maps[:, network_input.PLANES : network_input.PLANES + 1].expand(1, 4, 4, 4))


def test_share_is_that_of_the_least_error():
    """Corrections that overshoot by a third are best taken at three quarters."""
    valid = torch.ones(2, 4, 8, 8, dtype=torch.bool)
    base = 0.3 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = [{"base": base, "target": 0 * base, "correction": -base / 0.75, "valid": valid, "moving": ~valid}]
    assert validation.best_share(found) in (0.7, 0.8)


def test_training_goes_on_from_shipped_weights(tmp_path, settings, folder):
    torch.manual_seed(4)
    network = DepthNetwork(SMALL)
    write_onnx(network, tmp_path / "w.onnx", half=False)
    back = read_onnx(tmp_path / "w.onnx")
    assert back.config == SMALL
    for a, b in zip(network.parameters(), back.parameters(), strict=True):
        assert torch.equal(a, b)
    state = train(
        DepthTraining(folder, "cpu", start=tmp_path / "w.onnx"), replace(settings, steps=1, learning_rate=0.0), Silent()
    )
    assert torch.allclose(state.network.stem.weight, network.stem.weight, atol=1e-6)
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff")
    with pytest.raises(BadRequest, match=r"bad\.onnx"):
        read_onnx(tmp_path / "bad.onnx")


def test_mirrored_examples_are_those_of_mirrored_footage(folder):
    """Flipping maps and truth is the same as unfolding flipped pixels."""
    pool = Pool(folder)
    pool.refresh()
    clip = pool.clips[0]
    example = {k: v[0] if v.dtype == bool else v[0].astype(np.float32) for k, v in clip.items()}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        if rng.random() < 0.5:
            break
    flipped = augment(example, np.random.default_rng(seed))
    full = network_input.fold(example["target"])
    np.testing.assert_array_equal(network_input.fold(flipped["target"]), full[:, ::-1])
    base = network_input.fold(example["maps"][12:16])
    np.testing.assert_array_equal(network_input.fold(flipped["maps"][12:16]), base[:, ::-1])


def test_command_makes_examples_trains_and_writes_weights(tmp_path):
    arguments = [sys.executable, "-m", "geo4d", "train", "depth", str(tmp_path / "t"), "--clips", "1"]
    arguments += ["--steps", "1", "--threads", "1", "--json", "--seed", "3"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "result" and events[-1]["steps"] == 1
    assert (
        LearnedDepth(tmp_path / "t" / "depth.onnx")
        .output(np.zeros((network_input.CHANNELS, 32, 32)), np.zeros((33, 16, 16)))
        .any()
    )
