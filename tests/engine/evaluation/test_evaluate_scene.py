import json

import cv2
import numpy as np
import pytest
from geo4d.errors import BadRequest
from geo4d.evaluation import evaluate_scene, format_report
from geo4d.geometry.camera import Intrinsics
from geo4d.scene.depth_file import read_depth, write_depth
from synthetic import COUNT, FIRST, STEP, make_scene, wall_depth

SCALE = 3.0  # metres per scene unit


def write_truth(folder, scene, size, moving=None):
    """A clip whose truth is the scene itself, in metres, with depth as filmed at ``size`` = (w, h)."""
    (folder / "depth").mkdir(parents=True)
    (folder / "moving").mkdir()
    clip = {"fps": 25, "width": scene.width, "height": scene.height, "k1": scene.k1}
    (folder / "clip.json").write_text(json.dumps(clip))
    lens = Intrinsics(scene.width, scene.height, scene.fx[0], scene.fy[0], scene.cx[0], scene.cy[0], scene.k1)
    np.savetxt(folder / "intrinsics.txt", lens.matrix)
    poses = np.tile(np.eye(4)[:3], (FIRST + COUNT * STEP, 1, 1))
    for position, index in enumerate(scene.index):
        poses[index] = scene.c2w[position, :3]
        poses[index, :, 3] *= SCALE
        depth = SCALE * wall_depth(lens.scaled(*size), scene.c2w[position])
        cv2.imwrite(str(folder / "depth" / f"{index:04d}.png"), np.round(1000 * depth).astype(np.uint16))
        mask = np.zeros(depth.shape, np.uint8) if moving is None else moving.astype(np.uint8) * 255
        cv2.imwrite(str(folder / "moving" / f"{index:04d}.png"), mask)
    np.savetxt(folder / "poses_c2w.txt", poses.reshape(-1, 12))
    return folder


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path / "made", k1=-0.15, zoom=False, depth_size=(120, 90))


def test_a_perfect_scene_has_no_error(tmp_path, scene):
    report = evaluate_scene(scene.folder, write_truth(tmp_path / "clip", scene, (60, 45)))
    camera, depth = report["camera"], report["depth"]
    assert camera["ate_m"] < 1e-6 and camera["rpe_translation_m"] < 1e-6 and camera["rotation_max_deg"] < 1e-4
    assert camera["focal_error_percent"] < 1e-6
    assert camera["path_m"] > 1
    # What is left is the nearest pixel of a slanted wall.
    assert depth["scale"]["all"]["abs_rel"] < 0.002 and depth["scale"]["all"]["delta_1_25"] == 1.0
    assert depth["scale_shift"]["all"]["abs_rel"] < 0.002
    assert depth["fit"]["scale"] == pytest.approx(SCALE, rel=1e-3)
    assert depth["constant"]["all"]["abs_rel"] > 5 * depth["scale"]["all"]["abs_rel"]
    # The lens shows a little more at the edges than the undistorted image of the same size holds.
    assert depth["frames"] == COUNT and 0.85 < depth["coverage"] < 0.95
    assert json.loads(json.dumps(report)) == report


def test_the_lens_distortion_matters_and_is_taken_into_account(tmp_path, scene):
    truth = write_truth(tmp_path / "clip", scene, (120, 90))
    right = evaluate_scene(scene.folder, truth)["depth"]["scale"]["all"]["abs_rel"]
    data = json.loads((scene.folder / "scene.json").read_text())
    data["lens"]["k1"] = 0.0
    (scene.folder / "scene.json").write_text(json.dumps(data))
    assert evaluate_scene(scene.folder, truth)["depth"]["scale"]["all"]["abs_rel"] > 2 * right


def test_static_moving_and_confident_pixels_are_counted_apart(tmp_path, scene):
    moving = np.zeros((45, 60), bool)
    moving[30:, 20:40] = True
    truth = write_truth(tmp_path / "clip", scene, (60, 45), moving)
    before = evaluate_scene(scene.folder, truth)["depth"]["coverage"]
    for position in range(COUNT):
        frame = read_depth(scene.depth_path(position))
        frame.depth[62:, 45:75] *= 1.5
        frame.depth[:, :12] = 0
        write_depth(scene.depth_path(position), frame)
    depth = evaluate_scene(scene.folder, truth)["depth"]
    part = depth["scale"]
    assert part["moving"]["abs_rel"] > 0.3 and part["moving"]["delta_1_25"] < 0.4
    assert part["static"]["abs_rel"] < 0.02
    assert part["static"]["pixels"] + part["moving"]["pixels"] == part["all"]["pixels"]
    assert part["confident"]["pixels"] < 0.8 * part["all"]["pixels"]
    assert before - depth["coverage"] == pytest.approx(12 / 120, abs=0.05)


def test_a_camera_that_stays_in_its_place_has_no_path_error(tmp_path, scene):
    truth = write_truth(tmp_path / "clip", scene, (60, 45))
    poses = np.loadtxt(truth / "poses_c2w.txt").reshape(-1, 3, 4)
    poses[:, :, 3] = 0
    np.savetxt(truth / "poses_c2w.txt", poses.reshape(-1, 12))
    report = evaluate_scene(scene.folder, truth)
    assert report["true_motion"] == "tripod"
    assert report["camera"]["ate_m"] is None and report["camera"]["rpe_rotation_deg"] is None
    assert report["camera"]["rotation_max_deg"] < 1e-4
    assert "ATE" not in format_report(report)


def test_report_shows_the_figures(tmp_path, scene):
    report = evaluate_scene(scene.folder, write_truth(tmp_path / "clip", scene, (60, 45)))
    text = format_report(report)
    assert f"{report['depth']['constant']['all']['abs_rel']:.4f}" in text
    assert f"{report['camera']['path_m']:.2f} m" in text and f"{COUNT} solved" in text
    report["depth"] = None
    assert "no depth to compare" in format_report(report)


def test_folders_that_do_not_belong_together(tmp_path, scene):
    truth = write_truth(tmp_path / "clip", scene, (60, 45))
    with pytest.raises(BadRequest) as caught:
        evaluate_scene(tmp_path, truth)
    assert caught.value.code == "scene_unreadable"
    (truth / "intrinsics.txt").rename(truth / "lens.txt")
    with pytest.raises(BadRequest) as caught:
        evaluate_scene(scene.folder, truth)
    assert caught.value.code == "ground_truth_missing" and "intrinsics.txt" in caught.value.message
    (truth / "intrinsics.txt").write_text("not numbers")
    with pytest.raises(BadRequest) as caught:
        evaluate_scene(scene.folder, truth)
    assert caught.value.code == "ground_truth_broken"
    (truth / "lens.txt").replace(truth / "intrinsics.txt")
    clip = json.loads((truth / "clip.json").read_text())
    (truth / "clip.json").write_text(json.dumps({**clip, "width": 999}))
    with pytest.raises(BadRequest) as caught:
        evaluate_scene(scene.folder, truth)
    assert caught.value.code == "ground_truth_mismatch" and "999" in caught.value.message
