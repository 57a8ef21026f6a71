"""Reference mode: exact on exact windows, its gradients true, and as in the reference's own runs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from geo4d.alignment import objective, reference  # noqa: E402 - torch first
from geo4d.alignment.initialisation import initial_parameters, windows_of  # noqa: E402
from geo4d.alignment.parameters import Parameters, compressed, expanded, rotation  # noqa: E402
from geo4d.errors import SolveError  # noqa: E402
from geo4d.evaluation.ground_truth import read_ground_truth  # noqa: E402
from geo4d.evaluation.pose_metrics import compare_paths  # noqa: E402
from geo4d.progress import Silent  # noqa: E402
from safetensors import safe_open  # noqa: E402
from simulated_model import geo4d_like  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(os.environ.get("GEO4D_SHARED", ROOT.parent / "shared")) / "geo4d" / "golden"
NAMES = {
    "log_depth": "im_depthmaps",
    "camera": "im_poses",
    "log_focal": "im_focals",
    "window": "pw_poses",
    "disparity_scale": "s_depth",
    "disparity_shift": "t_depth",
    "trajectory": "traj_align_poses",
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def exact():
    """Three windows of the room as a perfect model would predict them, small, with points that know their z."""
    truth = read_ground_truth(ROOT / "tests" / "data" / "clips" / "room")
    windows = [geo4d_like(truth, np.arange(start, start + 6), (48, 28)) for start in (0, 3, 6)]
    for window in windows:
        window.points[..., 2] += missing_offset(truth, window)  # the reference's objective does not know it either
        window.points_z_offset = False
    return truth, windows


def missing_offset(truth, window) -> float:
    """What must be added to z so that the first frame's points lie on the rays of the true lens."""
    x, z = window.points[0, :, 0, 0].astype(float), window.points[0, :, 0, 2].astype(float)
    slope = (0.5 - window.width / 2) / (truth.K[0, 0] * window.width / truth.width)
    return float(np.median(x / slope - z))


def test_exact_windows_are_recovered(exact):
    truth, windows = exact
    parameters = initial_parameters(windows_of(windows))
    R, t = parameters.c2w()
    c2w = np.tile(np.eye(4), (12, 1, 1))
    c2w[:, :3, :3], c2w[:, :3, 3] = R.numpy(), t.numpy()
    errors = compare_paths(c2w, truth.c2w[:12])
    # The reference takes pixels at whole numbers, half a pixel off: 1 % of these small maps.
    assert errors.ate_percent < 3 and errors.rpe_rotation_deg < 0.1
    expected = truth.K[0, 0] * 48 / truth.width
    assert abs(float(parameters.focal()) / expected - 1) < 0.05


def test_descent_lowers_the_loss_and_joins_every_modality(exact):
    _, windows = exact
    stack = windows_of(windows)
    parameters = initial_parameters(stack)
    with torch.no_grad():
        parameters.log_depth += 0.1 * torch.randn(
            parameters.log_depth.shape, generator=torch.Generator().manual_seed(0)
        )
    losses = reference.optimise(parameters, stack, reference.Schedule(iterations=60, start=30))
    assert stack.usable.all() and stack.trusted.all()
    assert losses[29] < 0.7 * losses[0]
    assert losses[-1] < losses[30]


def test_a_missing_modality_drops_its_term(exact):
    _, windows = exact
    for window in windows:
        assert window.disparity is not None
    stack = windows_of(windows)
    parameters = initial_parameters(stack)
    with torch.no_grad():
        reference.join_disparity(parameters, stack)
        reference.join_trajectories(parameters, stack)
        whole = objective.loss(parameters, stack, True)
        bare = objective.Windows(stack.frames, stack.height, stack.width, stack.points, stack.weight)
        points_alone = objective.loss(parameters, bare, True)
        expected = objective.disparity_term(parameters, stack) + objective.trajectory_term(parameters, stack)
    assert float(expected) > 0
    np.testing.assert_allclose(float(whole - points_alone), float(expected), rtol=1e-3)


def test_gradients_are_those_of_the_objective(exact):
    stack = windows_of(exact[1])
    parameters = initial_parameters(stack)
    with torch.no_grad():
        reference.join_disparity(parameters, stack)
        reference.join_trajectories(parameters, stack)
    for name in ("points", "weight", "disparity", "c2w"):
        setattr(stack, name, getattr(stack, name).double())
    generator = torch.Generator().manual_seed(1)
    tensors = [t.double() + 0.01 * torch.randn(t.shape, generator=generator) for t in parameters.tensors()]
    direction = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in tensors]
    unknowns = [t.clone().requires_grad_() for t in tensors]
    objective.loss(Parameters(*unknowns), stack, True).backward()
    slope = sum(float((u.grad * d).sum()) for u, d in zip(unknowns, direction, strict=True))
    step = 1e-6
    ends = [
        float(objective.loss(Parameters(*(t + s * d for t, d in zip(tensors, direction, strict=True))), stack, True))
        for s in (-step, step)
    ]
    # A few of the absolute values have their kink within the step.
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * step), rtol=1e-4)


def test_scale_of_the_windows_is_held():
    parameters = Parameters(*(torch.zeros(s) for s in ((2, 6), (2, 7), (1, 1), (3, 8), (3, 1), (3, 1), (3, 8))))
    parameters.window[:, 3] = 1
    parameters.window[:, 7] = torch.tensor([1.0, 2.0, 6.0])
    scale, R, _ = parameters.window_to_world()
    np.testing.assert_allclose(float(scale.log().mean()), np.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(R[0].numpy(), np.eye(3), atol=1e-7)


def test_stored_translations_and_quaternions_round_trip():
    t = torch.tensor([[-5.0, 0.0, 1e-3], [100.0, -0.2, 3.0]])
    torch.testing.assert_close(expanded(compressed(t)), t)
    q = torch.nn.functional.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(3)), dim=1)
    for one in q:
        back = reference.quaternion(rotation(one))
        torch.testing.assert_close(back * torch.sign(back[3]), one * torch.sign(one[3]), atol=1e-5, rtol=0)


def test_models_without_points_are_refused(exact):
    window = exact[1][0]
    without = type(window)(window.positions, window.width, window.height, depth=window.points[..., 2])
    with pytest.raises(SolveError, match="begins with point maps"):
        windows_of([without])


# ---------------------------------------------------------------------------- the reference's own runs


@pytest.fixture(scope="module", params=["align_small", "align_full"])
def recorded(request):
    path = GOLDEN / f"{request.param}.safetensors"
    if not path.is_file():
        pytest.skip(f"no reference vectors at {path}")
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["meta"]), {key: file.get_tensor(key) for key in file.keys()}


def recorded_windows(meta, data):
    def stack(name):
        return torch.stack([data[f"pred{g}.{name}"] for g in range(len(data["groups"]))]).flatten(2, 3)

    poses = torch.stack([data[f"pred{g}.traj"] for g in range(len(data["groups"]))])
    maps = stack("pts3d"), stack("conf")[..., 0], stack("inverse_depthmap")[..., 0]
    return objective.Windows(data["groups"], meta["H"], meta["W"], *maps, poses)


def recorded_parameters(data, moment):
    return Parameters(**{ours: data[f"{moment}.{theirs}"].clone() for ours, theirs in NAMES.items()})


def test_initialisation_is_the_references(recorded):
    meta, data = recorded
    found, theirs = initial_parameters(recorded_windows(meta, data)), recorded_parameters(data, "init")
    assert abs(float(found.focal() / theirs.focal()) - 1) < 1e-3
    for mine, other in zip(found.c2w(), theirs.c2w(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.depth(), theirs.depth(), atol=0, rtol=1e-3)
    for mine, other in zip(found.window_to_world(), theirs.window_to_world(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


def test_losses_and_gradients_are_the_references(recorded):
    meta, data = recorded
    windows, start = recorded_windows(meta, data), meta["depth_traj_start_iter"]
    windows.usable = windows.trusted = torch.ones(len(windows.frames), dtype=torch.bool)
    moments = sorted({int(key[2:].split(".")[0]) for key in data if key.startswith("it")} - {start})
    assert 0 in moments and max(moments) > start
    for moment in moments:
        parameters = recorded_parameters(data, f"it{moment}")
        unknowns = [t.requires_grad_() for t in parameters.tensors()]
        value = objective.loss(parameters, windows, moment >= start)
        value.backward()
        np.testing.assert_allclose(float(value.detach()), float(data["losses"][moment]), rtol=1e-4)
        for (ours, theirs), unknown in zip(NAMES.items(), unknowns, strict=True):
            expected = data.get(f"it{moment}.grad.{theirs}")
            if expected is None:
                assert unknown.grad is None or not unknown.grad.any(), ours
            else:
                # At the first iteration points lie upon each other, where the direction of a distance is noise.
                tolerance = 1e-4 if moment else 2e-3
                # 3e-8: what float32 leaves of a sum over all pixels that nearly cancels, as the focal length's does.
                assert float((unknown.grad - expected).norm()) < tolerance * float(expected.norm()) + 3e-8, ours


def test_disparity_and_trajectories_join_as_in_the_reference(recorded):
    meta, data = recorded
    windows, start = recorded_windows(meta, data), meta["depth_traj_start_iter"]
    parameters = recorded_parameters(data, f"it{start}")
    reference.join_disparity(parameters, windows)
    reference.join_trajectories(parameters, windows)
    torch.testing.assert_close(parameters.trajectory, data["traj_init.params"], atol=1e-6, rtol=0)
    torch.testing.assert_close(parameters.disparity_scale, data["st_init.s"], atol=0, rtol=5e-3)
    torch.testing.assert_close(parameters.disparity_shift, data["st_init.t"], atol=5e-3, rtol=0)
    assert windows.usable.sum() == len(windows.usable) - len(data[f"it{start}.invalid_depth"])
    assert windows.trusted.nonzero()[:, 0].tolist() == data[f"it{start}.valid_traj"].tolist()


def test_a_whole_run_ends_where_the_references_did(recorded):
    meta, data = recorded
    if meta["n_iter"] > 100:
        pytest.skip("benchmarks/alignment.py --golden does the long run")
    windows, parameters = recorded_windows(meta, data), recorded_parameters(data, "init")
    schedule = reference.Schedule(meta["n_iter"], meta["depth_traj_start_iter"], meta["lr"], meta["lr_min"])
    losses = reference.optimise(parameters, windows, schedule)
    np.testing.assert_allclose(losses[-1], meta["last_loss"], rtol=2e-2)
    assert abs(float(parameters.focal()) - meta["focal"]) < 0.05
    torch.testing.assert_close(parameters.c2w()[1], data["final.c2w"][:, :3, 3], atol=4e-3, rtol=0)
    torch.testing.assert_close(parameters.depth(), data["final.depth"].flatten(1), atol=0, rtol=2e-2)


def test_aligned_result_is_at_footage_resolution(exact):
    truth, windows = exact
    found = reference.align(windows, 12, (640, 360), Silent(), reference.Schedule(iterations=5, start=3))
    assert len(found) == 12 and found.solve.width == 640
    assert abs(found.solve.fx[0] / truth.K[0, 0] - 1) < 0.05
    assert 0.9 < float(np.median(found.depth)) < 1.1
    assert np.isfinite(found.depth).all() and (found.confidence <= 1).all()
