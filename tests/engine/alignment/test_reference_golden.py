"""The benchmark on recorded runs: it reads any size and length, and fails where a mode is worse than recorded."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from geo4d.alignment import reference  # noqa: E402 - torch first
from geo4d.evaluation.ground_truth import read_ground_truth  # noqa: E402
from geo4d.geometry.ray_map import cameras_from_rays  # noqa: E402
from geo4d.progress import Silent  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from simulated_model import geo4d_like  # noqa: E402
from test_reference import missing_offset  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
SIZE = (48, 27)  # the clip's own shape, for recorded pixels are square
FRAMES = 14


@pytest.fixture(scope="module")
def golden():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import alignment_golden

        yield alignment_golden
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def write(folder, golden, **changed):
    """A folder with one recorded run, of this reference mode itself; ``changed`` replaces what it reached."""
    truth = read_ground_truth(ROOT / "tests" / "data" / "clips" / "room")
    windows = []
    for start in (0, 4):
        exact, window = (geo4d_like(truth, np.arange(start, start + 10), SIZE, noise) for noise in (0.0, 0.02))
        window.points[..., 2] += missing_offset(truth, exact)
        windows.append(window)
    depth = [cv2.resize(truth.depth(i), SIZE, interpolation=cv2.INTER_NEAREST) for i in range(FRAMES)]
    K = truth.K.copy()
    K[0] *= SIZE[0] / truth.width
    K[1] *= SIZE[1] / truth.height
    data = {
        "groups": np.stack([w.positions for w in windows]),
        "gt.c2w": truth.c2w[:FRAMES].astype(np.float32),
        "gt.depth": np.stack(depth).astype(np.float32),
        "gt.K": K.astype(np.float32),
    }
    for g, window in enumerate(windows):
        data[f"pred{g}.pts3d"] = window.points.astype(np.float32)
        data[f"pred{g}.conf"] = np.clip(window.points_weight, 0, 1)[..., None]
        data[f"pred{g}.inverse_depthmap"] = window.disparity[..., None]
        data[f"pred{g}.traj"] = cameras_from_rays(window.ray_direction, window.ray_moment).astype(np.float32)
    meta = {"W": SIZE[0], "H": SIZE[1], "n_iter": 60, "depth_traj_start_iter": 20, "lr": 0.03, "lr_min": 0.001}
    meta |= {"betas": [0.9, 0.9], "focal": float(K[0, 0]), "seconds": 1.0}
    path = folder / "align_own.safetensors"
    save_file(data, path, {"meta": json.dumps(meta)})
    recorded = golden.read(path)
    torch.set_num_threads(1)
    found = reference.align(recorded.predictions, FRAMES, SIZE, Silent(), recorded.schedule)
    meta |= golden.errors(found, recorded)
    meta["focal"] += float(K[0, 0])
    save_file(data, path, {"meta": json.dumps(meta | changed)})
    return folder


def test_a_mode_that_reaches_what_was_recorded_passes(tmp_path, golden, capsys):
    # Recorded was reference mode itself, which must reach it again; how good fast mode is here is not the question.
    failed = golden.run(write(tmp_path, golden))
    lines = capsys.readouterr().out.splitlines()
    modes = {line.split()[0]: line for line in lines if line.startswith((" " * 15 + "reference ", " " * 15 + "fast "))}
    assert set(modes) == {"reference", "fast"}
    assert "WORSE" not in modes["reference"]
    assert failed == sum("WORSE" in line for line in modes.values())


def test_a_mode_that_is_worse_than_recorded_fails(tmp_path, golden, capsys):
    assert golden.run(write(tmp_path, golden, ATE=1e-5, depth_absrel_scale_shift=1e-5)) == 2
    worse = [line for line in capsys.readouterr().out.splitlines() if "WORSE" in line]
    assert len(worse) == 2 and all("ATE" in line and "depth_absrel_scale_shift" in line for line in worse)


@pytest.mark.parametrize("name", ["ATE", "RPE_trans", "RPE_rot_deg", "focal", "depth_absrel_scale_shift", "coverage"])
def test_every_measure_is_judged(golden, name):
    reached = {"ATE": 0.01, "RPE_trans": 0.01, "RPE_rot_deg": 0.3, "focal": 2.0, "depth_absrel_scale_shift": 0.01}
    reached["coverage"] = 1.0
    assert golden.worse(reached, reached) == []
    spoiled = 0.9 if name == "coverage" else 1.2 * reached[name]
    assert golden.worse(reached | {name: spoiled}, reached) == [name]
    assert golden.worse(reached | {name: float("nan")}, reached) == [name]


def test_another_objective_is_refused(tmp_path, golden):
    folder = write(tmp_path, golden, temporal_smoothing_weight=0.5)
    with pytest.raises(SystemExit, match=r"temporal_smoothing_weight 0\.5"):
        golden.read(folder / "align_own.safetensors")


def test_an_empty_folder_is_said(tmp_path, golden):
    with pytest.raises(SystemExit, match="no align_"):
        golden.run(tmp_path)
