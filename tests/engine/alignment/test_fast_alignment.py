"""Fast alignment on windows simulated from a hall whose truth is known, and on the recorded runs of the reference."""

import gc
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from geo4d.alignment.fast import AlignmentSettings, align
from geo4d.errors import Cancelled, SolveError
from geo4d.evaluation.depth_metrics import DepthErrors, fit_scale
from geo4d.evaluation.pose_metrics import compare_paths, rotation_errors_deg
from geo4d.matchmove.solve import POSE_HELD, POSE_INTERPOLATED
from geo4d.models.prediction import Prediction
from geo4d.progress import Silent
from hall import hall_shot
from simulated_windows import EXACT, Errors, SimulatedWindows

SIZE = (48, 32)  # of the maps: not the footage's ratio, so that their pixels are not square
FRAMES = 28


@pytest.fixture(scope="module")
def walk():
    return hall_shot(FRAMES, SIZE)


def depth_error(aligned, truth, frames=range(0, FRAMES, 5)) -> float:
    estimate, true = [], []
    for i in frames:
        y = truth.depth(i)
        x = cv2.resize(aligned.frame(i).depth, y.shape[::-1], interpolation=cv2.INTER_NEAREST)
        estimate.append(x[(x > 0) & (y > 0)])
        true.append(y[(x > 0) & (y > 0)])
    estimate, true = np.concatenate(estimate), np.concatenate(true)
    errors = DepthErrors()
    errors.add(fit_scale(estimate, true) * estimate, true)
    return errors.abs_rel


def focal_error(aligned, truth) -> float:
    return float(np.abs(aligned.solve.fx / [lens.fx for lens in truth.lenses] - 1).max())


def run(windows, truth, **settings):
    progress = Silent()
    aligned = align(windows, len(truth), truth.footage_size, progress, AlignmentSettings(**settings))
    for values in (aligned.depth, aligned.confidence, aligned.dynamic, aligned.solve.c2w, aligned.solve.points):
        assert np.isfinite(values).all()
    assert aligned.confidence.min() >= 0 and aligned.confidence.max() <= 1
    assert aligned.dynamic.min() >= 0 and aligned.dynamic.max() <= 1
    return aligned, {code for code, _, _ in progress.warnings}


@pytest.mark.parametrize("modalities", [("points", "disparity", "rays"), ("points",), ("depth",)])
def test_exact_windows_give_the_exact_world(walk, modalities):
    aligned, warnings = run(SimulatedWindows(walk, SIZE, EXACT, modalities), walk)
    path = compare_paths(aligned.solve.c2w, walk.c2w)
    assert path.ate_percent < 1e-3 and path.rpe_rotation_deg < 1e-3
    assert focal_error(aligned, walk) < 1e-4
    assert np.array_equal(aligned.solve.fx, aligned.solve.fy)
    assert depth_error(aligned, walk) < 5e-4
    assert aligned.solve.motion == "moving" and aligned.window_ok.all() and not warnings


def test_noise_drift_and_a_third_of_outliers(walk):
    aligned, warnings = run(SimulatedWindows(walk, SIZE), walk)
    path = compare_paths(aligned.solve.c2w, walk.c2w)
    assert path.ate_percent < 2.0 and path.rpe_rotation_deg < 0.1
    assert focal_error(aligned, walk) < 0.01
    assert depth_error(aligned, walk) < 0.05
    assert not warnings


def test_confidence_tells_good_depth_from_bad(walk):
    aligned, _ = run(SimulatedWindows(walk, SIZE, modalities=("points",)), walk)
    x, y, c = [], [], []
    for i in range(0, FRAMES, 3):
        frame = aligned.frame(i)
        known = frame.depth > 0
        x.append(frame.depth[known])
        y.append(walk.depth(i)[known])
        c.append(frame.confidence[known])
    x, y, c = np.concatenate(x), np.concatenate(y), np.concatenate(c)
    off = np.abs(np.log(fit_scale(x, y) * x / y))
    order = np.argsort(c)
    third = len(order) // 3
    assert off[order[:third]].mean() > 2 * off[order[-third:]].mean()


def test_pixels_that_stand_out_alone_are_mended_where_windows_err(walk):
    # Frames 0..3 lie in one window only, which nothing but the pixels around contradicts.
    noise = replace(EXACT, noise=0.01)
    off = {}
    for outliers in (0.0, 0.1):
        errors = replace(noise, outliers=outliers, aware=1.0)
        aligned, _ = run(SimulatedWindows(walk, SIZE, errors, ("points",)), walk)
        estimate, true = aligned.depth[:4].astype(np.float32), np.stack([walk.depth(i) for i in range(4)])
        ratio = np.log(fit_scale(estimate[estimate > 0], true[estimate > 0]) * estimate / true)
        off[outliers] = float((np.abs(ratio) > 0.2).mean())
    assert off[0.0] < 0.01  # what is thin stays
    assert off[0.1] < 0.045  # most of the 7 % that are plainly wrong


def test_windows_that_failed_are_named_and_left_out(walk):
    aligned, warnings = run(SimulatedWindows(walk, SIZE, failed=(1, 2)), walk)
    assert aligned.statistics["windows_failed"] == [1, 2]
    assert aligned.window_ok.tolist() == [True, False, False, True]
    assert "windows_failed" in warnings
    assert compare_paths(aligned.solve.c2w, walk.c2w).ate_percent < 3.0


def test_frames_of_a_failed_window_alone_are_interpolated(walk):
    aligned, warnings = run(SimulatedWindows(walk, SIZE, failed=(0,)), walk)
    assert (aligned.solve.pose_source == POSE_INTERPOLATED).tolist() == [True] * 4 + [False] * (FRAMES - 4)
    assert not aligned.depth[:4].any() and aligned.depth[4:].all()
    assert "windows_failed" in warnings


def test_a_gap_between_windows_is_said(walk):
    _, warnings = run(SimulatedWindows(walk, SIZE, length=14, stride=14), walk)
    assert "alignment_gap" in warnings


def test_one_window_for_the_whole_shot(walk):
    errors = replace(Errors(), outliers=0.0)
    aligned, _ = run(SimulatedWindows(walk, SIZE, errors, ("depth",), length=FRAMES, stride=FRAMES), walk)
    assert compare_paths(aligned.solve.c2w, walk.c2w).ate_percent < 3.0
    assert aligned.statistics["window_agreement"] is None


def test_two_frames():
    shot = hall_shot(2, SIZE)
    aligned, _ = run(SimulatedWindows(shot, SIZE), shot)
    assert len(aligned) == len(aligned.solve) == 2


def test_disparity_and_rays_without_points_still_give_turns(walk):
    aligned, _ = run(SimulatedWindows(walk, SIZE, modalities=("disparity", "rays")), walk)
    assert rotation_errors_deg(aligned.solve.c2w, walk.c2w).max() < 1.0
    assert focal_error(aligned, walk) < 0.05


def test_camera_that_turns_keeps_its_place():
    shot = hall_shot(FRAMES, SIZE, motion="tripod")
    aligned, _ = run(SimulatedWindows(shot, SIZE), shot)
    assert aligned.solve.motion == "tripod"
    assert not np.ptp(aligned.solve.c2w[:, :3, 3], axis=0).any()
    assert rotation_errors_deg(aligned.solve.c2w, shot.c2w).max() < 0.5
    assert depth_error(aligned, shot) < 0.05


def test_camera_at_rest_is_held_exactly_still():
    shot = hall_shot(FRAMES, SIZE, motion="static")
    aligned, _ = run(SimulatedWindows(shot, SIZE), shot)
    assert aligned.solve.motion == "static"
    assert not np.ptp(aligned.solve.c2w, axis=0).any()
    assert (aligned.solve.pose_source == POSE_HELD).all()
    assert depth_error(aligned, shot) < 0.05


def test_slow_travel_is_not_taken_for_rest():
    # 5 mm a frame: a picture that moves by some pixels over the shot.
    shot = hall_shot(FRAMES, SIZE, motion="static")
    shot.c2w[:, 2, 3] += 0.02 * np.arange(FRAMES)
    aligned, _ = run(SimulatedWindows(shot, SIZE, replace(EXACT, noise=0.01)), shot)
    assert aligned.solve.motion == "moving"


def test_motion_that_the_user_knows_is_obeyed(walk):
    still = hall_shot(FRAMES, SIZE, motion="static")
    aligned, _ = run(SimulatedWindows(still, SIZE), still, motion="tripod")
    assert aligned.solve.motion == "tripod"
    aligned, _ = run(SimulatedWindows(walk, SIZE), walk, motion="moving")
    assert aligned.solve.motion == "moving"


def test_what_moves_is_found():
    shot = hall_shot(40, (96, 64))
    aligned, _ = run(SimulatedWindows(shot, (96, 64), replace(Errors(), outliers=0.1)), shot)
    said = np.stack([aligned.frame(i).dynamic > 0.5 for i in range(40)])
    true = np.stack([shot.moving(i) for i in range(40)])
    assert (said & true).sum() > 0.5 * true.sum()
    assert (said & true).sum() > 0.8 * said.sum()


class Noise(Sequence):
    """What untrained weights predict."""

    def __len__(self):
        return 4

    def __getitem__(self, number):
        if number >= 4:
            raise IndexError(number)
        rng = np.random.default_rng(number)
        w, h = SIZE
        maps = {name: rng.standard_normal((16, h, w)).astype(np.float32) for name in ("disparity", "points_weight")}
        return Prediction(
            np.arange(4 * number, 4 * number + 16),
            w,
            h,
            points=rng.standard_normal((16, h, w, 3)).astype(np.float32),
            points_z_offset=True,
            ray_direction=rng.standard_normal((16, h // 8, w // 8, 3)).astype(np.float32),
            ray_moment=rng.standard_normal((16, h // 8, w // 8, 3)).astype(np.float32),
            **maps,
        )


def test_noise_is_finite_and_called_what_it_is(walk):
    aligned, warnings = run(Noise(), walk)
    assert "alignment_unreliable" in warnings
    assert aligned.statistics["window_agreement"] < 0.2
    assert aligned.confidence.mean(dtype=np.float64) < 0.1


def test_nothing_usable_is_an_error(walk):
    windows = SimulatedWindows(walk, SIZE, length=FRAMES)
    prediction = windows[0]
    for name in ("points", "disparity", "ray_direction", "ray_moment"):
        setattr(prediction, name, np.full_like(getattr(prediction, name), np.nan))
    with pytest.raises(SolveError, match="None of the 1 windows") as error:
        align([prediction], FRAMES, walk.footage_size, Silent())
    assert error.value.code == "alignment_failed"


class Watched(Sequence):
    """Counts how often windows are read, and how many are alive at once."""

    def __init__(self, windows):
        self.windows, self.reads, self.alive, self.most = windows, 0, [], 0

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, number):
        prediction = self.windows[number]
        self.reads += 1
        gc.collect()
        self.alive = [one for one in self.alive if one() is not None]
        self.alive.append(weakref.ref(prediction))
        self.most = max(self.most, len(self.alive))
        return prediction


def test_windows_are_read_twice_and_let_go(walk):
    watched = Watched(SimulatedWindows(walk, SIZE))
    run(watched, walk)
    assert watched.reads == 2 * len(watched)
    assert watched.most <= 2


def test_cancel(walk):
    class Stop(Silent):
        def advance(self, stage, done, total):
            raise Cancelled()

    with pytest.raises(Cancelled):
        align(SimulatedWindows(walk, SIZE), FRAMES, walk.footage_size, Stop())


def test_no_worse_than_reference_mode():
    torch = pytest.importorskip("torch")
    from geo4d.alignment import reference

    size, frames, threads = (32, 20), 14, torch.get_num_threads()
    shot = hall_shot(frames, size)
    windows = SimulatedWindows(shot, size, length=10, stride=4)
    torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other
    begun = time.process_time()
    oracle = reference.align(list(windows), frames, shot.footage_size, Silent(), reference.Schedule(120, 40))
    torch.set_num_threads(threads)
    between = time.process_time()
    found = align(windows, frames, shot.footage_size, Silent())
    assert time.process_time() - between < between - begun
    ours, theirs = (compare_paths(one.solve.c2w, shot.c2w) for one in (found, oracle))
    assert ours.ate < theirs.ate
    assert ours.rpe_translation < theirs.rpe_translation
    assert ours.rpe_rotation_deg < theirs.rpe_rotation_deg
    assert focal_error(found, shot) < focal_error(oracle, shot)
    assert depth_error(found, shot, range(frames)) < depth_error(oracle, shot, range(frames))


GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "geo4d" / "golden"


@pytest.mark.parametrize("name", ["align_small", "align_full"])
def test_no_worse_than_the_recorded_reference(name):
    path = GOLDEN / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(path, "np") as file:
        data = {key: file.get_tensor(key) for key in file.keys() if key.startswith(("pred", "gt", "groups", "final"))}
    F, h, w = data["gt.depth"].shape
    predictions = [
        Prediction(
            frames,
            w,
            h,
            points=data[f"pred{g}.pts3d"],
            points_weight=data[f"pred{g}.conf"][..., 0],
            points_z_offset=True,
            disparity=data[f"pred{g}.inverse_depthmap"][..., 0],
            c2w=data[f"pred{g}.traj"].astype(np.float64),
        )
        for g, frames in enumerate(data["groups"])
    ]
    aligned = align(predictions, F, (w, h), Silent())
    truth = data["gt.c2w"].astype(np.float64)
    ours, theirs = (compare_paths(c2w.astype(np.float64), truth) for c2w in (aligned.solve.c2w, data["final.c2w"]))
    assert ours.ate < theirs.ate
    assert ours.rpe_translation < theirs.rpe_translation
    assert ours.rpe_rotation_deg < theirs.rpe_rotation_deg
    focal = float(data["gt.K"][0, 0])
    assert abs(aligned.solve.fx[0] - focal) < abs(float(data["final.focal"][0]) - focal)
