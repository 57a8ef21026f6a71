import cv2
import numpy as np
import pytest
from geo4d.errors import BadRequest, Cancelled, SolveError
from geo4d.progress import Silent
from geo4d.tracking.sift import join_matches, match
from geo4d.tracking.track import track_shot, working_size

WIDTH, HEIGHT = 480, 320


class ArrayShot:
    """A shot whose frames are in memory."""

    path, fps = "memory", 25.0

    def __init__(self, frames):
        self.frames = frames
        self.height, self.width = frames[0].shape[:2]
        self.indices = np.arange(len(frames))
        self.times = self.indices / self.fps

    def __len__(self):
        return len(self.frames)

    def read(self, size=None, gray=False, start=0):
        for frame in self.frames[start:]:
            yield frame if size in (None, (self.width, self.height)) else cv2.resize(frame, size, None, 0, 0, 3)


def texture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = sum(cv2.resize(rng.random((n, n)), (900, 900), interpolation=cv2.INTER_CUBIC) / 2 for n in (40, 120, 300))
    return np.repeat((255 * (coarse - coarse.min()) / np.ptp(coarse)).astype(np.uint8)[..., None], 3, axis=2)


def homography(t: float) -> np.ndarray:
    """Plane to picture at time t: a zoom, a turn and a slide."""
    angle, zoom = 0.15 * t, 1 + 0.2 * t
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, -200 - 60 * t], [s, c, -230 + 20 * t], [4e-5 * t, 0, 1]])


@pytest.fixture(scope="module")
def slide():
    plane = texture()
    times = np.linspace(0, 1, 16)
    frames = [cv2.warpPerspective(plane, homography(t), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC) for t in times]
    return times, track_shot(ArrayShot(frames), Silent())


def apply(H, xy):
    p = np.column_stack([xy, np.ones(len(xy))]) @ H.T
    return p[:, :2] / p[:, 2:]


def test_tracks_follow_the_picture_to_a_fraction_of_a_pixel(slide):
    times, tracks = slide
    starts = np.flatnonzero(np.concatenate([[True], np.diff(tracks.track) > 0]))
    first = starts[tracks.track]
    errors = np.empty(len(tracks.track))
    for row in range(len(errors)):
        # OpenCV warps pixel centres at integers; tracks have the corner at 0, so centres at .5.
        a, b = homography(times[tracks.frame[first[row]]]), homography(times[tracks.frame[row]])
        errors[row] = np.linalg.norm(
            apply(b @ np.linalg.inv(a), tracks.xy[first[row]][None] - 0.5) + 0.5 - tracks.xy[row]
        )
    corner = tracks.fb_error > 0
    assert np.median(errors[corner]) < 0.15
    assert np.mean(errors < 1.0) > 0.95


def test_tracks_are_long_sorted_and_cover_the_picture(slide):
    _, tracks = slide
    lengths = np.bincount(tracks.track)
    assert (lengths >= 2).all() and (lengths == 16).sum() > 100
    assert (np.lexsort((tracks.frame, tracks.track)) == np.arange(len(tracks.track))).all()
    pairs = tracks.track.astype(np.int64) * 16 + tracks.frame
    assert len(np.unique(pairs)) == len(pairs)
    for frame in range(16):
        xy = tracks.xy[tracks.frame == frame]
        cells = np.unique((xy / [WIDTH / 6, HEIGHT / 4]).astype(int) @ [1, 6])
        assert len(cells) == 24
    assert tracks.rgb.shape == (len(tracks), 3)


def test_matched_features_bridge_the_first_and_last_key_frames(slide):
    _, tracks = slide
    ends = [set(tracks.track[(tracks.frame == f) & (tracks.fb_error == 0)]) for f in tracks.key_frames[[0, -1]]]
    matched = np.bincount(tracks.track, tracks.fb_error) == 0
    assert sum(matched[t] for t in ends[0] & ends[1]) > 20


def test_large_footage_is_tracked_small_and_reported_at_full_size():
    plane = cv2.resize(texture(1), (2400, 2400), interpolation=cv2.INTER_CUBIC)
    frames = [np.ascontiguousarray(plane[100:1000, 100 + 4 * i : 1700 + 4 * i]) for i in range(5)]
    tracks = track_shot(ArrayShot(frames), Silent())
    assert working_size(1600, 900) == (1280, 720)
    assert tracks.working_scale == pytest.approx(1.25)
    a, b = (tracks.xy[np.flatnonzero(tracks.frame == f)] for f in (0, 3))
    shared = np.intersect1d(tracks.track[tracks.frame == 0], tracks.track[tracks.frame == 3], return_indices=True)
    step = np.median(b[shared[2]] - a[shared[1]], axis=0)
    np.testing.assert_allclose(step, [-12, 0], atol=0.1)
    assert a[:, 0].max() > 1400


def test_flat_picture_has_no_texture():
    with pytest.raises(SolveError) as caught:
        track_shot(ArrayShot([np.full((200, 300, 3), 90, np.uint8)] * 6), Silent())
    assert caught.value.code == "no_texture"
    assert caught.value.hint


def test_pure_noise_persists_nowhere():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (200, 300, 3), dtype=np.uint8) for _ in range(8)]
    with pytest.raises(SolveError) as caught:
        track_shot(ArrayShot(frames), Silent())
    assert caught.value.code == "no_persistent_features"


def test_two_frames_are_refused():
    with pytest.raises(BadRequest) as caught:
        track_shot(ArrayShot([texture()[:200, :300]] * 2), Silent())
    assert caught.value.code == "too_few_frames"
    assert "2 frames" in caught.value.message


def test_cancel_is_noticed_within_a_frame():
    class CancelsAtThird(Silent):
        def advance(self, stage, done, total):
            self.done = done
            if done == 3:
                raise Cancelled

    progress = CancelsAtThird()
    with pytest.raises(Cancelled):
        track_shot(ArrayShot([texture()[:200, :300]] * 9), progress)
    assert progress.done == 3


def test_matches_join_into_tracks_with_one_feature_an_image():
    pairs = [(0, 1, np.array([[0, 0], [1, 1]])), (1, 2, np.array([[0, 1]])), (0, 2, np.array([[1, 1], [0, 0]]))]
    track, feature = join_matches([2, 2, 2], pairs)
    # 0:0-1:0-2:1 is a track; 2:1 is taken and 0:0 already has an image-2 feature, so the later pairs lose.
    assert [feature[track == t].tolist() for t in range(track.max() + 1)] == [[0, 2, 5], [1, 3]]


def test_match_finds_mutual_neighbours():
    rng = np.random.default_rng(0)
    a = np.abs(rng.normal(size=(50, 128))).astype(np.float32)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    order = rng.permutation(50)
    found = match(a, a[order])
    assert len(found) == 50
    np.testing.assert_array_equal(order[found[:, 1]], found[:, 0])
