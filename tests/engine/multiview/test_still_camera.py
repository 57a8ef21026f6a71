"""What moves before a camera that stands still or turns: plain walls beside a mover stay still, plain movers move."""

import cv2
import numpy as np
import pytest
from geo4d.geometry.camera import Intrinsics
from geo4d.multiview.flow import DenseFlow
from geo4d.multiview.still_camera import moving_probability
from geo4d.multiview.working_frames import WorkingFrames

W, H, F, FOCAL = 224, 128, 24, 200.0
TIMES = np.arange(F) / 12.0


def panorama(rng: np.random.Generator) -> np.ndarray:
    """Texture above, a plain wall in the middle, texture below; wider than the picture."""
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (H + 40, W + 120)).astype(np.float32), (0, 0), 1.5)
    picture = np.clip((picture - 127) * 4 + 127, 0, 255)
    picture[60:110] = 150
    return np.repeat(picture[..., None], 3, axis=2)


def shot(turn_deg: float) -> tuple[WorkingFrames, np.ndarray]:
    """Frames and true masks: a plain dark box crosses the wall while the camera turns by ``turn_deg`` in all."""
    rng = np.random.default_rng(0)
    world = panorama(rng)
    lens = Intrinsics(W, H, FOCAL, FOCAL, W / 2, H / 2)
    rgb, c2w, masks = [], [], []
    for f in range(F):
        angle = np.radians(turn_deg) * (f / (F - 1) - 0.5)
        scene, mask = world.copy(), np.zeros(world.shape[:2], np.float32)
        left = 50 + 8 * f
        for image, value in ((scene, 40.0), (mask, 1.0)):
            image[66:104, left : left + 32] = value
        R = cv2.Rodrigues(np.array([0, angle, 0]))[0]
        K, Kw = lens.matrix, np.array([[FOCAL, 0, (W + 120) / 2], [0, FOCAL, (H + 40) / 2], [0, 0, 1]])
        to_world = Kw @ R @ np.linalg.inv(K)  # the scene hangs on a far plane, so that turning is a homography
        warp = dict(dsize=(W, H), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        filmed = cv2.warpPerspective(scene, to_world, **warp) + rng.normal(0, 2.0, (H, W, 3))
        rgb.append(np.clip(filmed, 0, 255).astype(np.uint8))
        masks.append(cv2.warpPerspective(mask, to_world, **warp) > 0.5)
        pose = np.eye(4)
        pose[:3, :3] = R
        c2w.append(pose)
    return WorkingFrames(np.stack(rgb), [lens] * F, np.stack(c2w), np.ones((H, W), bool)), np.stack(masks)


@pytest.mark.parametrize("turn_deg", [0.0, 12.0], ids=["still", "turning"])
def test_a_plain_mover_is_found_and_the_plain_wall_around_it_is_not(turn_deg):
    frames, masks = shot(turn_deg)
    flow, both, either, false = DenseFlow(), 0, 0, []
    for i in (0, 8, 16, F - 1):
        p = moving_probability(frames, TIMES, i, flow)
        assert p.shape == (H, W) and p.dtype == np.float32 and 0 <= p.min() and p.max() <= 1
        found = p > 0.5
        both, either = both + (found & masks[i]).sum(), either + (found | masks[i]).sum()
        near = cv2.dilate(masks[i].astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
        false.append((found & ~near).mean())
    assert both / either > 0.4
    assert max(false) < 0.02


def test_nothing_moves_where_nothing_does():
    frames, _ = shot(0.0)
    rgb = np.repeat(frames.rgb[:1], 3, axis=0)
    noise = np.random.default_rng(1).normal(0, 3, rgb.shape)
    still = WorkingFrames(
        np.clip(rgb + noise, 0, 255).astype(np.uint8), frames.lenses[:3], frames.c2w[:3], frames.inside
    )
    assert moving_probability(still, TIMES[:3], 1, DenseFlow()).max() < 0.5


def test_one_frame_says_that_nothing_moves():
    frames, _ = shot(0.0)
    one = WorkingFrames(frames.rgb[:1], frames.lenses[:1], frames.c2w[:1], frames.inside)
    assert moving_probability(one, TIMES[:1], 0, DenseFlow()).max() < 0.5
