"""Whole windows through a small Geo4D: both modes, short and long shots, resume, half precision, memory."""

from dataclasses import replace

import numpy as np
import pytest
from geo4d.errors import Cancelled, GeoError
from geo4d.progress import Silent
from geo4d.windows import cut_windows

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')
pytest.importorskip("safetensors", reason='safetensors is not installed (pip install "geo4d[gpu]")')

from geo4d.models.geo4d import schedule  # noqa: E402 - needs torch
from geo4d.models.geo4d.config import UNetConfig, VAEConfig  # noqa: E402
from geo4d.models.geo4d.inference import Inference, demand  # noqa: E402
from geo4d.models.geo4d.memory import Plan  # noqa: E402
from geo4d.models.geo4d.parity import made_weights  # noqa: E402
from geo4d.models.geo4d.sampler import Guidance, sample  # noqa: E402
from geo4d.models.geo4d.settings import EXACT, Settings, working_size  # noqa: E402
from geo4d.models.geo4d.system import Contexts, System  # noqa: E402
from geo4d.models.geo4d.unet import UNet  # noqa: E402
from geo4d.models.geo4d.vae import VAE, latent_sample  # noqa: E402
from small_geo4d import small_system  # noqa: E402

torch.set_num_threads(1)
SIZE = (128, 64)
TWO_STEPS = Settings(steps=2)
ONE_STEP = Settings(steps=1)


@pytest.fixture(scope="module")
def system():
    return small_system()


@pytest.fixture(scope="module")
def window(system):
    """The one window of a shot of 16 frames, in our mode."""
    return run(system, 16)[0]


def frames_of(count: int):
    rng = np.random.default_rng(1)
    clip = rng.integers(0, 255, (count, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return lambda positions: clip[list(positions)]


def run(system, count: int, settings=TWO_STEPS, **more):
    return dict(Inference(system, frames_of(count), count, SIZE, settings=settings, **more).run())


def test_windows_cover_every_frame():
    assert [w.tolist() for w in cut_windows(5)] == [[0, 1, 2, 3, 4, 3, 2, 1] * 2]
    assert cut_windows(1)[0].tolist() == [0] * 16
    assert [w[0] for w in cut_windows(24)] == [0, 4, 8]
    assert [w[0] for w in cut_windows(26)] == [0, 4, 8, 10]
    assert [w[0] for w in cut_windows(24, repeat_last=True)] == [0, 4, 8, 8]
    assert len(cut_windows(16)) == 1
    assert len(cut_windows(16, repeat_last=True)) == 2


def test_a_window_becomes_all_four_modalities(window):
    prediction = window
    assert prediction.positions.tolist() == list(range(16))
    assert prediction.points.shape == (16, 64, 128, 3)
    assert prediction.points_weight.shape == prediction.disparity.shape == (16, 64, 128)
    assert prediction.ray_direction.shape == prediction.ray_moment.shape == (16, 32, 64, 3)
    assert np.allclose(np.linalg.norm(prediction.ray_direction, axis=-1), 1.0, atol=1e-5)
    assert all(np.isfinite(m).all() for m in (prediction.points, prediction.points_weight, prediction.disparity))


@pytest.mark.parametrize("count", [1, 3])
def test_short_shots_yield_each_frame_once(system, count):
    (prediction,) = run(system, count, ONE_STEP).values()
    assert prediction.positions.tolist() == list(range(count))
    assert len(prediction.points) == count


def reference_window(system, clip: np.ndarray, seed: int, steps: int) -> dict[str, torch.Tensor]:
    """One window in the reference's order of work: frame by frame, contexts anew, nothing kept, plain attention."""
    draw = torch.Generator().manual_seed(seed)
    height, width = SIZE[1] // 8, SIZE[0] // 8
    pictures = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = [
        latent_sample(system.image_vae.moments(p[None]), torch.randn(1, 4, height, width, generator=draw))
        for p in pictures
    ]
    condition = torch.cat(latents).transpose(0, 1)[None]
    x = torch.randn(1, 16, 16, height, width, generator=draw)
    context = torch.cat([system.contexts.text, system.contexts.image], dim=1)

    def velocity(x, time):
        return system.unet(torch.cat([x, condition], 1), torch.tensor([time]), context, torch.tensor([24]))

    z = sample(velocity, x, schedule.trailing_steps(steps), clean_scale=False)[0].transpose(0, 1)
    decode = system.image_vae.decode
    points = [torch.cat(system.point_vae.decode_with_confidence(f[None, :4]), 1) for f in z]
    rest = {
        name: torch.cat([decode(f[None, i : i + 4]) for f in z]) for name, i in (("dir", 4), ("mom", 8), ("disp", 12))
    }
    return {"points": torch.cat(points), **rest}


def test_exact_mode_is_the_reference_order_of_work(system):
    settings = replace(EXACT, steps=2)
    ours = run(system, 16, settings)
    assert len(ours) == 2  # the last window twice
    system.unet.use_attention("plain")
    try:
        with torch.inference_mode():
            expected = reference_window(system, frames_of(16)(range(16)), settings.seed, 2)
    finally:
        system.unet.use_attention("fused")
    u = expected["points"].permute(0, 2, 3, 1).numpy()
    assert np.abs(ours[0].points[..., :2] - u[..., :2] / 2).max() < 2e-4
    assert np.abs(ours[0].points[..., 2] - (u[..., 2] + 1) / 2).max() < 2e-4
    assert np.abs(ours[0].ray_moment - expected["mom"].permute(0, 2, 3, 1).numpy()).max() < 2e-4
    assert np.abs(ours[0].disparity - (expected["disp"].mean(1).numpy() + 1) / 2).max() < 2e-4
    assert np.abs(ours[0].points - ours[1].points).max() > 1e-2  # noise is drawn anew for the second


def test_our_mode_repeats_itself_and_continues(system):
    """Two windows denoised at once, and the second by itself in a continued run."""
    plan = Plan(demand(system.sizes, SIZE, system.dtype, ONE_STEP), 2, 5)
    whole = run(system, 20, ONE_STEP, plan=plan)
    again = dict(Inference(system, frames_of(20), 20, SIZE, settings=ONE_STEP).run(finished=frozenset({0})))
    assert list(whole) == [0, 1]
    assert list(again) == [1]
    # Frames and windows share batches with other neighbours, which may change the order of sums.
    assert np.abs(whole[1].points - again[1].points).max() < 1e-4


def test_each_frame_is_encoded_once(system):
    seen = []
    read = frames_of(20)

    def counting(positions):
        seen.extend(positions)
        return read(positions)

    list(Inference(system, counting, 20, SIZE, settings=ONE_STEP).run())
    assert sorted(seen) == list(range(20))


def test_overlapping_windows_begin_from_the_same_noise(system):
    inference = Inference(system, frames_of(20), 20, SIZE, settings=TWO_STEPS)
    first, second = (inference._noise(w).latent for w in inference.windows)
    assert torch.equal(first[:, :, 4:], second[:, :, :12])


def test_guidance_and_noise_change_the_result(system, window):
    plain = window
    strong = run(system, 16, Settings(steps=2, guidance=Guidance(4.0, 0.7)))[0]
    noisy = run(system, 16, Settings(steps=2, eta=1.0))[0]
    assert np.abs(plain.disparity - strong.disparity).max() > 1e-3
    assert np.abs(plain.disparity - noisy.disparity).max() > 1e-3


def test_clean_scale_undoes_the_rescale():
    """With a perfect predictor our mode returns the latent itself; the reference's returns 0.85 of it."""
    draw = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(1, 16, 4, 8, 8, generator=draw), torch.randn(1, 16, 4, 8, 8, generator=draw)
    bar, scale = schedule.alphas_cumprod(), schedule.latent_scale()

    def oracle(x, time):
        return (bar[time] ** 0.5 * x - clean * scale[time]) / (1 - bar[time]) ** 0.5

    steps = schedule.trailing_steps(5)
    assert torch.allclose(sample(oracle, noise, steps), clean, atol=1e-4)
    gain = (sample(oracle, noise, steps, clean_scale=False) * clean).mean() / (clean * clean).mean()
    assert abs(gain - 0.85) < 0.01


def golden_system(dtype) -> System:
    """The network and the autoencoder of the reference's vectors; their weights come from their seeds."""
    vae = VAEConfig(ch=32)
    parts = [
        UNet(UNetConfig(model_channels=32, num_head_channels=16, context_dim=48)),
        VAE(vae, ("encoder", "decoder")),
        VAE(vae, ("decoder", "decoder_adaptor")),
    ]
    for seed, part in zip((0, 3, 3), parts, strict=True):
        part.load_state_dict(made_weights(part, seed))
    draw = torch.Generator().manual_seed(5)
    contexts = Contexts(*(torch.randn(1, n, 48, generator=draw) for n in (77, 77, 256)))
    return System(*parts, contexts).to("cpu", dtype)


def test_half_precision_depth_is_within_a_hundredth():
    """Decoded depth and disparity after all five steps in half precision, relative to their spread in float32."""
    rng = np.random.default_rng(1)
    clip = rng.integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)  # three frames, there and back: 16 to the network
    full, half = (
        dict(Inference(golden_system(dtype), lambda p: clip[list(p)], 3, (64, 64)).run())[0]
        for dtype in (torch.float32, torch.float16)
    )
    for a, b in ((full.points[..., 2], half.points[..., 2]), (full.disparity, half.disparity)):
        assert np.sqrt(np.mean((a - b) ** 2)) < 0.01 * a.std()
        assert np.quantile(np.abs(a - b), 0.99) < 0.02 * a.std()


def test_not_a_number_is_an_error():
    system = small_system()
    system.unet.out[2].bias.data[0] = float("nan")
    with pytest.raises(GeoError, match="window 1 of 1") as caught:
        run(system, 16, ONE_STEP)
    assert caught.value.code == "model_not_finite"


@pytest.mark.parametrize("part, streamed", [("unet", False), ("unet", True), ("point_vae", False)])
def test_float16_that_overflows_goes_on_in_bfloat16(part, streamed):
    """An inner layer beyond the range of float16, whose scale a norm takes away again."""
    said = []

    class Listening(Silent):
        def log(self, text):
            said.append(text)

    wild = small_system().to("cpu", torch.float16)
    layer = wild.unet.input_blocks[0][0] if part == "unet" else wild.point_vae.decoder.conv_in
    layer.weight.data = (layer.weight / layer.weight.abs().max()) * 60000
    if streamed:
        wild.stream()
    inference = Inference(wild, frames_of(16), 16, SIZE, settings=ONE_STEP, progress=Listening())
    prediction = dict(inference.run())[0]
    assert wild.dtype == torch.bfloat16 and any("bfloat16" in text for text in said)
    assert np.isfinite(prediction.points).all() and np.isfinite(prediction.disparity).all()


def test_cancel_stops_between_steps(system):
    class Impatient(Silent):
        def advance(self, stage, done, total):
            if done == 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        run(system, 16, progress=Impatient())


@pytest.mark.parametrize(
    "footage, worst",
    [((1920, 1080), 1.09), ((1080, 1920), 1.09), ((1024, 436), 1.06), ((640, 640), 1.0), ((640, 480), 1.04)],
)
def test_working_size_keeps_the_ratio(footage, worst):
    w, h = working_size(*footage)
    assert w % 64 == h % 64 == 0
    assert 0.75 <= w * h / (512 * 320) <= 1.25
    stretch = (w / h) / (footage[0] / footage[1])
    assert max(stretch, 1 / stretch) <= worst


def test_sizes_that_are_no_multiples_are_refused(system):
    with pytest.raises(ValueError, match="multiples of 64"):
        Inference(system, frames_of(16), 16, (100, 64))
