"""Reference mode: exact on exact windows, its gradients true, and as in the reference's own runs."""

import dataclasses
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
    assert windows_of([dataclasses.replace(w, disparity=None) for w in windows]).disparity is None
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


def test_a_modality_that_one_window_lacks_counts_in_the_others(exact):
    windows = list(exact[1])
    windows[1] = dataclasses.replace(windows[1], disparity=None, ray_direction=None, ray_moment=None)
    whole, stack = windows_of(exact[1]), windows_of(windows)
    parameters = initial_parameters(stack)
    with torch.no_grad():
        for one in (whole, stack):
            reference.join_disparity(parameters, one)
            reference.join_trajectories(parameters, one)
        assert whole.usable.tolist() == whole.trusted.tolist() == [True, True, True]
        assert stack.usable.tolist() == stack.trusted.tolist() == [True, False, True]
        whole.usable[1] = whole.trusted[1] = False
        torch.testing.assert_close(
            objective.loss(parameters, stack, True), objective.loss(parameters, whole, True), atol=0, rtol=1e-6
        )


def test_depth_with_cameras_stands_for_points(exact):
    truth, windows = exact
    window = windows[0]
    c2w = np.linalg.inv(truth.c2w[0]) @ truth.c2w[window.positions]
    depth = 2.0 + np.random.default_rng(0).random((6, 28, 48)).astype(np.float32)
    depth[0, 0, 0], depth[1, 2, 3] = 0.0, np.inf
    fx = np.full(6, truth.K[0, 0] * 48 / truth.width)
    bare = type(window)(window.positions, 48, 28, depth=depth, c2w=c2w, fx=fx, confidence=3 * np.ones_like(depth))
    stack = windows_of([bare])
    assert stack.weight[0, 0, 0] == 0 and stack.weight[0, 1, 2 * 48 + 3] == 0 and stack.weight[0, 2, 5] == 1
    assert stack.points.isfinite().all()
    parameters = initial_parameters(stack)
    # The focal length of window and frame is PnP's, which tries steps; half a pixel of 28 is its grid's offset.
    assert abs(float(parameters.focal()) / fx[0] - 1) < 2e-2
    np.testing.assert_allclose(parameters.c2w()[0].numpy(), c2w[:, :3, :3], atol=5e-3)


def test_windows_that_leave_frames_out_are_refused(exact):
    windows = exact[1]
    with pytest.raises(SolveError, match="3 of 15 frames"):
        reference.align(windows, 15, (640, 360), Silent())
    with pytest.raises(SolveError, match="last frame of the windows is 11"):
        reference.align(windows, 10, (640, 360), Silent())
    apart = [windows[0], dataclasses.replace(windows[2])]  # frames 0..5 and 6..11
    with pytest.raises(SolveError, match="Window 1 shares 0 trusted pixels"):
        reference.align(apart, 12, (640, 360), Silent())


def test_disparity_is_fitted_and_judged():
    generator = torch.Generator().manual_seed(4)
    disparity = 0.1 + 0.8 * torch.rand(4000, generator=generator)
    target = 1.7 * disparity + 0.4
    target[:800] = 5 * torch.rand(800, generator=generator)  # L1: a fifth of outliers moves nothing
    scale, shift, score = reference.fit_disparity(disparity, target, torch.arange(4000) >= 800)
    assert abs(scale - 1.7) < 0.02 and abs(shift - 0.4) < 0.02 and score > 0.99
    unrelated = 10 ** (4 * torch.rand(4000, generator=generator) - 2)
    assert reference.fit_disparity(disparity, unrelated, torch.ones(4000, dtype=torch.bool))[2] < 0.3


def test_trajectories_that_contradict_the_points_take_no_part(exact):
    stack = windows_of(exact[1])
    parameters = initial_parameters(stack)
    turns = torch.tensor([[np.sin(a), 0, 0, np.cos(a)] for a in np.radians(4) * np.arange(6)], dtype=torch.float32)
    stack.c2w[2, :, :3, :3] = rotation(turns)  # 8 degrees a frame
    with torch.no_grad():
        reference.join_trajectories(parameters, stack)
        assert stack.trusted.tolist() == [True, True, False]
        counted = objective.trajectory_term(parameters, stack)
        stack.c2w[2, :, :3, 3] += 5.0
        torch.testing.assert_close(objective.trajectory_term(parameters, stack), counted, atol=0, rtol=0)


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
    step = 1e-8
    ends = [
        float(objective.loss(Parameters(*(t + s * d for t, d in zip(tensors, direction, strict=True))), stack, True))
        for s in (-step, step)
    ]
    # In a wider step some of the absolute values have their kink, which of them is a matter of rounding.
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * step), rtol=1e-4)


def test_every_term_has_the_value_worked_out_by_hand():
    # Two frames of 1 x 2 pixels in one window; focal length 1, principal point (1, 0.5), depth 2 throughout.
    identity = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0]])
    parameters = Parameters(
        log_depth=torch.full((2, 2), float(np.log(2))),
        camera=identity.repeat(2, 1),
        log_focal=torch.zeros(1, 1),
        window=torch.tensor([[0.0, 0, 0, 1, 0, 0, 0, 0.7]]),  # the only window: its scale is one half whatever this is
        disparity_scale=torch.full((1, 1), 3.0),
        disparity_shift=torch.full((1, 1), -0.5),
        trajectory=torch.tensor([[0.0, 0, 0, 1, 0, 0, 0, float(np.log(2))]]),
    )
    parameters.camera[1, 6] = float(np.log(2))  # at z = 1
    seen = torch.tensor([[-2.0, -1, 2], [0, -1, 2]])
    world = torch.stack([seen, seen + torch.tensor([0.0, 0, 1])])
    half_turned = torch.eye(4).repeat(2, 1, 1)
    half_turned[1, :3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    half_turned[1, 2, 3] = 2.0
    windows = objective.Windows(
        frames=torch.tensor([[0, 1]]),
        height=1,
        width=2,
        points=2 * (world + torch.tensor([0.0, 3, 4]))[None],  # 5 away
        weight=torch.tensor([[[1.0, 0.0], [25.0, 0.5]]]),
        disparity=torch.tensor([[[0.04, 0.5], [0.25, 0.06]]]),  # 0.04 is sky
        c2w=half_turned[None],
        usable=torch.tensor([True]),
        trusted=torch.tensor([True]),
    )
    torch.testing.assert_close(objective.world_points(parameters, 1, 2), world)
    expected = {
        objective.smoothness_term(parameters): 0.015 * 1,
        objective.point_term(parameters, windows): (1 + 0 + 10 + 0.5) * 5 / 4,
        objective.disparity_term(parameters, windows): 2 * (abs(0.5 - 1.0) + abs(0.5 - 0.25) + abs(0.5 + 0.32)) / 4,
        # A quarter turn is 2 away from none; the window's own z = 2 counts twice and is 3 from the camera's 1.
        objective.trajectory_term(parameters, windows): 0.005 * (2 + 3),
    }
    for value, by_hand in expected.items():
        assert float(value) == pytest.approx(by_hand, rel=1e-5)
    assert float(objective.loss(parameters, windows, True)) == pytest.approx(sum(expected.values()), rel=1e-5)
    assert float(objective.loss(parameters, windows, False)) == pytest.approx(0.015 + 57.5 / 4, rel=1e-5)


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
    with pytest.raises(SolveError, match="1 of 1 windows lack"):
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
                # align_full begins with points upon each other, where the direction of a distance is rounding: the
                # recorded gradient of the windows is 7e-4 off the one in double precision, ours 5e-4.
                tolerance = 1e-3 if moment == 0 and meta["n_iter"] > 100 else 1e-4
                # 3e-8: what float32 leaves of a sum over all pixels that nearly cancels, as the focal length's does.
                assert float((unknown.grad - expected).norm()) < tolerance * float(expected.norm()) + 3e-8, ours


def test_loss_and_gradients_where_disparity_and_trajectories_join_are_the_references(recorded):
    meta, data = recorded
    windows, start = recorded_windows(meta, data), meta["depth_traj_start_iter"]
    windows.usable = windows.trusted = torch.ones(len(windows.frames), dtype=torch.bool)
    parameters = recorded_parameters(data, f"it{start}")
    parameters.disparity_scale, parameters.disparity_shift = data["st_init.s"].clone(), data["st_init.t"].clone()
    parameters.trajectory = data["traj_init.params"].clone()
    unknowns = dict(zip(NAMES, (t.requires_grad_() for t in parameters.tensors()), strict=True))
    value = objective.loss(parameters, windows, True)
    value.backward()
    np.testing.assert_allclose(float(value.detach()), float(data["losses"][start]), rtol=1e-4)
    # Every trajectory was just placed on its first frame's camera: there the two poses are equal, the term has its
    # kink, and the gradient of that camera and of that placing is the direction of a rounding error.
    smooth = torch.ones(meta["T"], dtype=torch.bool)
    smooth[windows.frames[:, 0]] = False
    for name in ("log_depth", "camera", "log_focal", "window", "disparity_scale", "disparity_shift"):
        mine, expected = unknowns[name].grad, data[f"it{start}.grad.{NAMES[name]}"]
        if name == "camera":
            mine, expected = mine[smooth], expected[smooth]
        assert float((mine - expected).norm()) < 1e-4 * float(expected.norm()) + 3e-8, name


def test_learning_rates_are_the_references(recorded):
    meta, data = recorded
    schedule = reference.Schedule(meta["n_iter"], meta["depth_traj_start_iter"], meta["lr"], meta["lr_min"])
    rates = [schedule.rate_at(i) for i in range(meta["n_iter"])]
    np.testing.assert_allclose(rates, data["lrs"].numpy(), rtol=1e-5)


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
    windows, parameters = recorded_windows(meta, data), recorded_parameters(data, "init")
    schedule = reference.Schedule(meta["n_iter"], meta["depth_traj_start_iter"], meta["lr"], meta["lr_min"])
    losses = reference.optimise(parameters, windows, schedule)
    np.testing.assert_allclose(losses[-1], meta["last_loss"], rtol=2e-2)
    assert abs(float(parameters.focal()) - meta["focal"]) < 0.15  # 0.06 measured; the reference drifts by 0.05 itself
    ended = data["final.c2w"][:, :3, :3], data["final.c2w"][:, :3, 3]
    for mine, expected in zip(parameters.c2w(), ended, strict=True):
        torch.testing.assert_close(mine, expected, atol=8e-3, rtol=0)
    torch.testing.assert_close(parameters.depth(), data["final.depth"].flatten(1), atol=2e-2, rtol=0)


def test_aligned_result_is_at_footage_resolution(exact):
    truth, windows = exact
    found = reference.align(windows, 12, (640, 360), Silent(), reference.Schedule(iterations=5, start=3))
    assert len(found) == 12 and found.solve.width == 640
    assert abs(found.solve.fx[0] / truth.K[0, 0] - 1) < 0.05
    assert 0.9 < float(np.median(found.depth)) < 1.1
    assert np.isfinite(found.depth).all() and (found.confidence <= 1).all()
    # The points lie where some frame's depth puts them: on a pixel of the first frame they are at its depth.
    points = found.solve.points
    assert 1000 < len(points) <= 4000 and len(points) == len(found.solve.points_rgb)
    local = np.linalg.inv(found.solve.c2w[0]) @ np.c_[points, np.ones(len(points))].T
    x = local[0] / local[2] * found.solve.fx[0] * 48 / 640 + 24
    y = local[1] / local[2] * found.solve.fy[0] * 28 / 360 + 14
    own = slice(0, len(points) // 24)
    row, column = np.rint(y[own]).astype(int), np.rint(x[own]).astype(int)
    np.testing.assert_allclose(local[2, own], found.depth[0][row, column], rtol=2e-3)
