"""mini: codes that keep the geometry, one and more steps, weights that fit or are refused, windows of any shot."""

import json

import numpy as np
import pytest
from geo4d.errors import BadRequest, GeoError
from geo4d.geometry.ray_map import cameras_from_rays
from geo4d.models import registry, weight_file
from geo4d.models.windowed import ModelOptions, ModelRequest
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.mini import modalities  # noqa: E402 - needs torch
from geo4d.models.mini.config import LARGE, MiniConfig  # noqa: E402
from geo4d.models.mini.engine import open_model  # noqa: E402
from geo4d.models.mini.motion import motion_fields  # noqa: E402
from geo4d.models.mini.system import Mini, load, save  # noqa: E402
from geo4d.models.mini.windowing import spread_windows  # noqa: E402
from geo4d.training.mini.denoising import figures  # noqa: E402
from geo4d.training.scenes import make_clips  # noqa: E402
from geo4d.training.window_clips import Windows  # noqa: E402

torch.set_num_threads(1)
SMALL = MiniConfig(coder=16, features=16, width=32, heads=2, layers=2)


@pytest.fixture(scope="module")
def windows() -> Windows:
    """One procedural clip of a camera that travels."""
    clip = make_clips([3], 5, 48, 80, motion="dolly", samples=1)
    c2w = torch.linalg.inv(clip.c2w[:, :1]) @ clip.c2w
    rgb = clip.rgb.permute(0, 1, 4, 2, 3).float() / 255
    return Windows(rgb, clip.depth, c2w.float(), clip.K.float(), clip.moving, clip.sky)


@pytest.fixture(scope="module")
def system() -> Mini:
    torch.manual_seed(0)
    system = Mini(SMALL)
    torch.nn.init.normal_(system.denoiser.leave.weight, std=0.05)  # begins at nothing, which would test nothing
    return system.eval().requires_grad_(False)


@pytest.fixture()
def weights(tmp_path, system):
    path = tmp_path / "mini.safetensors"
    save(path, system, {"steps": "0"})
    return path


def coded(windows: Windows) -> modalities.Maps:
    return modalities.code(windows.points(), windows.depth, windows.rays(), windows.c2w, windows.sky)


def test_codes_keep_points_and_disparity(windows):
    maps = coded(windows)
    points, true = modalities.decode_points(maps.points), windows.points()
    unit = true.norm(dim=2)[~windows.sky].mean()
    kept = true.norm(dim=2) < 9.9 * unit
    assert kept[~windows.sky].float().mean() > 0.98
    at = kept[:, :, None].expand_as(true)
    assert torch.allclose((points * unit)[at], true[at], rtol=1e-3, atol=1e-3)
    assert abs(points.norm(dim=2)[kept & ~windows.sky].mean() - 1) < 0.05
    along = torch.nn.functional.cosine_similarity(points, true, dim=2)
    assert along.min() > 1 - 1e-5, "what is drawn in stays on its ray"
    disparity = modalities.decode_disparity(maps.disparity)[:, :, 0]
    far = windows.depth > unit / 5.9
    assert torch.allclose((disparity * windows.depth)[far], unit, rtol=1e-3)


def test_coded_rays_hold_the_cameras(windows):
    direction, moment = modalities.decode_rays(coded(windows).rays)
    unit = windows.points().norm(dim=2)[~windows.sky].mean()
    poses = cameras_from_rays(*(x[0].permute(0, 2, 3, 1).double().numpy() for x in (direction, moment)))
    assert np.allclose(poses[:, :3, :3], windows.c2w[0, :, :3, :3], atol=1e-3)
    assert np.allclose(poses[:, :3, 3] * float(unit), windows.c2w[0, :, :3, 3], atol=2e-3)


def test_motion_fields_find_the_shift():
    import cv2

    wide = cv2.GaussianBlur(np.random.default_rng(0).random((64, 120), dtype=np.float32), (0, 0), 2.0)
    wide = (wide - wide.min()) / np.ptp(wide)
    frames = [wide[:, 12 + 3 * t : 108 + 3 * t] for t in range(3)]  # what is at x lies at x - 3 in the next frame
    rgb = torch.from_numpy(np.stack(frames))[None, :, None].expand(1, 3, 3, 64, 96)
    fields = motion_fields(rgb)[0].unflatten(1, (5, 3))[..., 2:-2, 4:-4]
    across = fields[:, :, 0].median(-1).values.median(-1).values * 0.05 * 48  # (T, neighbour), pixels
    wanted = torch.tensor([[0, 0, -3, -6, 0], [0, 3, -3, 0, 3], [6, 3, 0, 0, 6]])
    assert torch.allclose(across, wanted.float(), atol=0.5)
    assert fields[:, :, 1].abs().mean() < 0.1 and fields[:, :, 2].mean() < 0.3


@pytest.mark.parametrize("fps", [8, 24, 30, 60])
@pytest.mark.parametrize("count", [1, 7, 8, 16, 23, 48, 61])
@pytest.mark.parametrize("stride", [1, 4, 8])
def test_windows_cover_every_shot_and_hang_together(fps, count, stride):
    windows = spread_windows(count, fps, stride)
    assert all(w.shape == (8,) and w.dtype == np.int64 and w.min() >= 0 and w.max() < count for w in windows)
    assert set(np.concatenate(windows).tolist()) == set(range(count))
    seen = set(windows[0].tolist())
    for window in windows[1:] if stride <= 4 else []:
        assert seen & set(window.tolist())
        seen |= set(window.tolist())
    if count >= 48 and stride == 4:
        apart = np.median([np.median(np.diff(w)) for w in windows])
        assert apart == {8: 1, 24: 2, 30: 2, 60: 3}[fps]


def test_one_step_repeats_itself_and_more_steps_walk_to_their_prediction(system, windows):
    one, extra = system.sample(windows.rgb)
    assert one.shape == (1, 5, 18, 6, 10) and extra.shape == (1, 5, 2, 6, 10)
    assert torch.equal(one, system.sample(windows.rgb)[0])
    noise = torch.randn(one.shape, generator=torch.Generator().manual_seed(2))
    four, _ = system.sample(windows.rgb, 4, noise)
    assert torch.isfinite(four).all() and not torch.allclose(one, four)
    other, _ = system.sample(windows.rgb, 4, noise)
    assert torch.equal(four, other)


def test_what_is_seen_decides(system, windows):
    """Order of the frames and the pictures themselves both matter to the prediction."""
    one, _ = system.sample(windows.rgb)
    assert not torch.allclose(one, system.sample(windows.rgb.flip(1))[0].flip(1), atol=1e-4)
    assert not torch.allclose(one, system.sample(1 - windows.rgb)[0], atol=1e-4)


def test_sizes():
    def count(config):
        with torch.device("meta"):
            return sum(p.numel() for p in Mini(config).parameters())

    assert count(MiniConfig()) < 4e6 and count(LARGE) < 25e6


def test_weights_come_back_as_they_were(system, weights):
    again = load(weights)
    assert again.config == SMALL
    for name, value in system.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, atol=1e-3), name


def test_weights_that_do_not_fit_are_refused(system, weights, tmp_path):
    with pytest.raises(GeoError, match="cut short"):
        short = tmp_path / "short.safetensors"
        short.write_bytes(weights.read_bytes()[:-9])
        load(short)
    from safetensors.torch import load_file, save_file

    tensors, about = load_file(weights), {"format": "geo4d-mini", "version": "1", "config": SMALL.to_json()}
    other = tmp_path / "other.safetensors"
    save_file(tensors, other, about | {"version": "7"})
    with pytest.raises(BadRequest, match="holds geo4d-mini 7"):
        load(other)
    save_file(tensors, other, about | {"config": json.dumps({"depth": 3})})
    with pytest.raises(BadRequest, match="sizes of these weights"):
        load(other)
    tensors.pop("denoiser.norm.weight")
    save_file(tensors, other, about)
    with pytest.raises(BadRequest, match=r"denoiser\.norm\.weight"):
        load(other)


def request_of(frames: np.ndarray, weights, **options) -> ModelRequest:
    import cv2

    def read(positions, size):
        return np.stack([cv2.resize(frames[p], size, interpolation=cv2.INTER_AREA) for p in positions])

    height, width = frames.shape[1:3]
    return ModelRequest(width, height, len(frames), 24.0, read, ModelOptions(weights=str(weights), **options))


@pytest.mark.parametrize("count, size", [(1, (96, 54)), (3, (54, 96)), (11, (64, 64))])
def test_any_shot_becomes_windows(weights, count, size):
    frames = np.random.default_rng(0).integers(0, 255, (count, size[1], size[0], 3), dtype=np.uint8)
    model = open_model(request_of(frames, weights), Silent())
    found = dict(model.run(frozenset()))
    assert sorted({int(p) for w in found.values() for p in w.positions}) == list(range(count))
    for window in found.values():
        assert len(set(window.positions.tolist())) == len(window)
        assert window.width % 8 == window.height % 8 == 0
        assert abs(window.width / window.height / (size[0] / size[1]) - 1) < 0.1
        assert window.points.shape == (len(window), window.height, window.width, 3)
        assert window.disparity.shape == window.points_weight.shape == window.points.shape[:3]
        assert (window.points_weight > 0).all() and (window.disparity >= 0).all()
        assert np.allclose(np.linalg.norm(window.ray_direction, axis=-1), 1, atol=1e-5)
    last = max(found)
    again = dict(model.run(frozenset(set(found) - {last})))
    assert list(again) == [last] and np.array_equal(again[last].points, found[last].points)
    few = [dict(open_model(request_of(frames, weights, steps=3), Silent()).run(frozenset())) for _ in range(2)]
    assert np.array_equal(few[0][0].points, few[1][0].points) and not np.allclose(few[0][0].points, found[0].points)


def test_values_that_are_no_numbers_are_an_error(system, tmp_path):
    broken = Mini(SMALL)
    broken.load_state_dict(system.state_dict())
    broken.denoiser.leave.bias.data[0] = 1e30
    path = tmp_path / "broken.safetensors"
    save(path, broken, {})
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(GeoError, match="window 1 of 1") as caught:
        list(open_model(request_of(frames, path), Silent()).run(frozenset()))
    assert caught.value.code == "model_not_finite"


def test_shipped_weights_are_ours_and_trained():
    """On clips of seeds that no training draws: better than constant depth, cameras that turn the right way."""
    card = registry.card("mini")
    assert card.licence == "CC0-1.0" and card.commercial_use and card.shipped and card.rough
    path = registry.weights_path("mini")
    assert path.stat().st_size < 50 << 20
    assert weight_file.verify(path)["format"] == "geo4d-mini"
    system = load(path)
    assert sum(p.numel() for p in system.parameters()) < 25e6
    clips = make_clips([77, 78], 8, 96, 160, 12.0, samples=1)
    c2w = torch.linalg.inv(clips.c2w[:, :1]) @ clips.c2w
    rgb = clips.rgb.permute(0, 1, 4, 2, 3).float() / 255
    whole = Windows(rgb, clips.depth, c2w.float(), clips.K.float(), clips.moving, clips.sky)

    class Clips:
        def held_out(self, frames):
            return [Windows(**{k: v[i : i + 1, :frames] for k, v in vars(whole).items()}) for i in range(2)]

    found = figures(system, Clips(), "cpu")
    assert found["abs_rel"] < 0.8 * found["constant_abs_rel"]
    torch.manual_seed(0)
    fresh = figures(Mini(system.config).eval(), Clips(), "cpu")
    assert found["ray_degrees"] < 0.5 * fresh["ray_degrees"]
