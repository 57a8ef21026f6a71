"""The small twin's training: truth that agrees with itself, a loss that falls, weights that the engine can read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from geo4d.errors import BadRequest, GeoError
from geo4d.progress import Silent

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models.vggt4d import pose  # noqa: E402 - needs torch
from geo4d.models.vggt4d.checkpoint import load  # noqa: E402
from geo4d.models.vggt4d.network import Output  # noqa: E402
from geo4d.models.vggt4d.sizes import DenseHead, Encoder  # noqa: E402
from geo4d.training import window_clips  # noqa: E402
from geo4d.training.loop import LOG, LoopSettings, train  # noqa: E402
from geo4d.training.vggt import export, validation  # noqa: E402
from geo4d.training.vggt.batches import draw_view, rigid_flow, scene  # noqa: E402
from geo4d.training.vggt.loss import camera_loss, flow_loss, training_loss  # noqa: E402
from geo4d.training.vggt.network import SIZES, fresh  # noqa: E402
from geo4d.training.vggt.task import Twin  # noqa: E402

TINY = replace(
    SIZES,
    width=32,
    heads=2,
    hidden=64,
    encoder=Encoder(width=32, depth=1, heads=2, hidden=64, registers=4, grid=10),
    camera_heads=2,
    camera_hidden=32,
    depth_head=DenseHead(16, (16, 16, 16, 16), 8, 2),
    point_head=DenseHead(16, (16, 16, 16, 16), 8, 4),
)
SEEDS = (1001, 1002, 1020)  # the last is kept for validation


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in SEEDS:
        window_clips.make_file(folder / f"{seed:06d}.npz", seed)
    store = window_clips.Store(folder)
    assert len(store.train) == 2 and len(store.validation) == 1
    return store


@pytest.mark.parametrize("cells", [(10, 6), (8, 6), (11, 7), (6, 8)])
def test_depth_and_camera_code_give_the_points(store, cells):
    """Also of pictures that were cut or stretched."""
    truth = scene(store.batch(np.random.default_rng(3), 1, 4), cells, 14)
    height, width = truth.depth.shape[1:]
    assert (width, height) == (14 * cells[0], 14 * cells[1]) and truth.images.shape == (4, 3, height, width)
    extrinsics, K = pose.decode(truth.code.double(), height, width)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    fx, fy = K[:, 0, 0, None, None], K[:, 1, 1, None, None]
    rays = torch.stack(((x - width / 2) / fx, (y - height / 2) / fy, torch.ones_like(truth.depth)), dim=-1)
    local = rays * truth.depth[..., None] - extrinsics[:, None, None, :, 3]
    world = torch.einsum("tji,thwj->thwi", extrinsics[..., :3], local)
    assert (world - truth.points)[truth.solid].abs().max() < 1e-4
    assert truth.points[truth.solid].norm(dim=-1).mean() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("turned", [False, True])
def test_points_fall_where_the_first_frame_saw_them(store, turned):
    """Colours agree there, also of cameras that were turned further; displacements of patches say the same."""
    rng, offs, befores = np.random.default_rng(5), [], []
    for _ in range(5):
        windows = store.batch(rng, 1, 4)
        truth = scene(windows, (10, 6), 14, view=draw_view(rng, windows) if turned else None)
        height, width = truth.depth.shape[1:]
        K = pose.decode(truth.code[0], height, width)[1]
        x, y = (truth.points[..., k] / truth.points[..., 2] * K[k, k] + K[k, 2] for k in (0, 1))
        place = torch.stack((2 * x / width - 1, 2 * y / height - 1), dim=-1)
        there = torch.nn.functional.grid_sample(truth.images[:1].expand(4, -1, -1, -1), place, align_corners=False)
        seen = truth.still & (place.abs() < 1).all(-1)
        offs.append(float((there - truth.images).abs().mean(1)[seen].mean()))
        befores.append(float((truth.images[:1] - truth.images).abs().mean(1)[seen].mean()))
        flow, share = rigid_flow(truth, 14)
        assert flow.shape == (4, 60, 2) and flow[0].abs().max() < 1e-3
        assert float(flow_loss([flow, flow], flow, share)) == 0 < float(flow_loss([flow + 0.1], flow, share))
        middle = flow.unflatten(1, (6, 10))[:, 2, 4]
        pixels = (truth.still & (truth.points[..., 2] > 0.05))[:, 28:42, 56:70]
        column = x[:, 28:42, 56:70] - (torch.arange(56, 70) + 0.5)
        for k in range(4):
            if pixels[k].any():
                expected = column[k][pixels[k]].clamp(-56, 56).mean() / 14
                assert float(middle[k, 0]) == pytest.approx(float(expected), abs=1e-3)
    assert sum(offs) < 0.8 * sum(befores)


def test_the_truth_costs_less_than_anything_near_it(store):
    truth = scene(store.batch(np.random.default_rng(1), 1, 3), (10, 6), 14)
    sure = torch.ones_like(truth.depth)
    perfect = Output(truth.code.repeat(4, 1, 1), truth.depth, sure, truth.points, sure)
    best = float(training_loss(perfect, truth)[0])
    assert best == pytest.approx(0, abs=1e-5)
    turned = truth.code.repeat(4, 1, 1)
    turned[..., 3:7] *= -1  # the same rotation
    assert float(camera_loss(turned, truth.code)) == pytest.approx(0, abs=1e-6)
    off = truth.code.repeat(4, 1, 1)
    off[-1, :, 7] += 0.1
    for changed in (
        replace(perfect, depth=1.1 * truth.depth),
        replace(perfect, points=truth.points + 0.1),
        replace(perfect, codes=off),
    ):
        assert float(training_loss(changed, truth)[0]) > best + 0.02


def test_loss_falls_and_the_engine_reads_what_was_trained(store, tmp_path):
    state = train(Twin(store, TINY, ((3, 1.0),)), LoopSettings(tmp_path, steps=100, learning_rate=3e-3), Silent())
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    found = validation.figures(state.average.network, store)
    assert set(found) == {"abs_rel", "abs_rel_constant", "turn_deg", "turn_deg_still", "ate_percent"}
    assert all(np.isfinite(value) for value in found.values())

    path = tmp_path / "vggt-mini.safetensors"
    manifest = export.write(state.average.network, path, {"steps": "100"})
    assert manifest["licence"] == "CC0-1.0" and manifest["bytes"] == path.stat().st_size
    read = load(path)
    assert read.sizes == TINY and read.spatiotemporal_dense_fusion.alpha.abs().min() > 0
    images = scene(store.held_out(4)[0], (10, 6), 14).images
    with torch.inference_mode():
        a, b = state.average.network(images), read.float()(images)
    assert (a.depth / b.depth - 1).abs().max() < 0.03 and (a.codes - b.codes).abs().max() < 0.02


def test_a_state_of_another_size_and_an_empty_store_are_refused(store, tmp_path):
    settings = LoopSettings(tmp_path, steps=1)
    train(Twin(store, TINY), settings, Silent())
    with pytest.raises(BadRequest, match="VGGT family") as caught:
        train(Twin(store, replace(TINY, hidden=96)), settings, Silent())
    assert caught.value.code == "checkpoint_version"
    with pytest.raises(GeoError) as caught:
        Twin(window_clips.Store(tmp_path / "nothing"))
    assert caught.value.code == "no_examples"


def test_fresh_weights_have_the_shipped_sizes_and_every_part_alive():
    torch.manual_seed(0)
    network = fresh()
    assert 1e6 < sum(p.numel() for p in network.parameters()) < 5e6
    assert all(p.isfinite().all() for p in network.parameters())
    with torch.inference_mode():
        images = torch.rand(4, 3, 84, 140)
        out, spatial = network(images), network(images, temporal=False)
    assert (out.depth / spatial.depth - 1).abs().mean() > 1e-3
    assert (out.codes[:, :, 7:] > 0).all()  # angles of view that are cut at 0 could not be learnt
