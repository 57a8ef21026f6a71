"""The network against itself: what must not matter, and its attention over time against a plain one."""

import copy

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.models.vggt4d import pose  # noqa: E402 - needs torch
from geo4d.models.vggt4d.block import grid_positions, rotation  # noqa: E402
from geo4d.models.vggt4d.residence import place  # noqa: E402
from geo4d.models.vggt4d.sizes import FUSION, SPATIAL, TEMPORAL  # noqa: E402
from small_vggt import PLAIN, SIZES, pictures, small_network  # noqa: E402


def outputs(network, images, *arguments, **options):
    with torch.inference_mode():
        return network(images, *arguments, **options)


def distance(a, b) -> float:
    """Largest difference of all maps and codes, in units of 1 + the value."""
    pairs = [(getattr(a, name), getattr(b, name)) for name in vars(a)]
    return max(((x - y).abs() / (1 + y.abs())).max().item() for x, y in pairs if x is not None)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_frames_at_once_do_not_matter(network, at_once):
    images = pictures(7)
    assert distance(outputs(network, images, at_once), outputs(network, images, 7)) < 2e-5


def test_order_of_later_frames_does_not_matter_in_space(network):
    images, order = pictures(5), torch.tensor([0, 3, 1, 4, 2])
    straight, mixed = (outputs(network, x, temporal=False) for x in (images, images[order]))
    assert torch.allclose(straight.depth[order], mixed.depth, atol=2e-5)
    assert torch.allclose(straight.codes[:, order], mixed.codes, atol=2e-5)
    # but the first frame is special, and time has an order
    first = outputs(network, images.flip(0), temporal=False)
    assert not torch.allclose(straight.depth.flip(0), first.depth, atol=1e-3)
    over_time = [outputs(network, x).depth for x in (images, images[order])]
    assert not torch.allclose(over_time[0][order], over_time[1], atol=1e-3)


def test_closed_gates_are_plain_vggt(network):
    closed = copy.deepcopy(network)
    getattr(closed, FUSION).alpha.zero_()
    plain = small_network(PLAIN)
    names = plain.state_dict().keys()
    plain.load_state_dict({name: t for name, t in network.state_dict().items() if name in names})
    images = pictures()
    assert distance(outputs(closed, images), outputs(plain, images)) == 0.0
    assert distance(outputs(closed, images), outputs(network, images)) > 1e-2


def test_cameras_ignore_time_and_depth_does_not(network):
    images = pictures()
    both, space = outputs(network, images), outputs(network, images, temporal=False)
    assert torch.equal(both.codes, space.codes)
    assert not torch.allclose(both.depth, space.depth, rtol=1e-2)
    spatial = outputs(network, images, spatial_depth=True).spatial_depth
    assert torch.equal(spatial, space.depth)


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_windowed_attention_is_masked_attention(network, frames):
    """Against scores of all pairs of tokens, with the bias added and far frames masked."""
    trunk = getattr(network, TEMPORAL)
    block = trunk.temporal_blocks[1]
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(frames, 5 + 6, SIZES.width, generator=draw)
    turn = rotation(grid_positions(2, 3, 5), SIZES.width // SIZES.heads)
    attention, radius = block.attn, SIZES.window // 2
    normed = block.norm1(x)
    q, k = attention.queries(normed, turn), attention.keys(normed, turn)  # (S, heads, P, d)
    v = attention.values(normed)
    scores = torch.einsum("shpd,thqd->hsptq", q, k) / q.shape[-1] ** 0.5
    gap = torch.arange(frames)[None] - torch.arange(frames)[:, None]  # of key from query
    near = gap.abs() <= radius
    bias = attention.relative_time_bias[:, (gap + radius).clamp(0, 2 * radius)]
    scores = (scores + bias[:, :, None, :, None]).masked_fill(~near[None, :, None, :, None], float("-inf"))
    weights = scores.flatten(3).softmax(-1).unflatten(3, (frames, -1))
    expected = block.finish(x, attention.join(torch.einsum("hsptq,thqd->shpd", weights, v)))
    with torch.inference_mode():
        found = [trunk.attend(block, x.clone(), turn, at_once) for at_once in (1, 2, frames)]
    for result in found:
        assert torch.allclose(result, expected, atol=1e-5)


def test_half_precision_stays_near(network):
    half = copy.deepcopy(network)
    place(half, torch.device("cpu"), torch.bfloat16, streamed=False)
    assert getattr(half, SPATIAL).global_blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    assert getattr(half, SPATIAL).global_blocks[0].norm1.weight.dtype == torch.float32
    assert half.dense_head.depth_head.projects[0].weight.dtype == torch.float32
    images = pictures()
    a, b = outputs(half, images, dtype=torch.bfloat16), outputs(network, images)
    assert a.depth.dtype == torch.float32
    assert ((a.depth / b.depth).log().abs()).median() < 0.01
    assert 0 < distance(a, b) < 0.2


def test_streamed_weights_give_the_same(network):
    images = pictures()
    for dtype in (torch.float32, torch.bfloat16):
        streamed, whole = copy.deepcopy(network), copy.deepcopy(network)
        place(streamed, torch.device("cpu"), dtype, streamed=True)
        place(whole, torch.device("cpu"), dtype, streamed=False)
        assert distance(outputs(streamed, images, 2, dtype=dtype), outputs(whole, images, 2, dtype=dtype)) == 0.0
    assert getattr(streamed, SPATIAL).frame_blocks[0].attn.qkv.weight.dtype == torch.float32  # back home


def test_gradients_flow_and_change_nothing(network):
    learning = copy.deepcopy(network).requires_grad_(True)
    images = pictures(3)
    out = learning(images, 2)
    with torch.no_grad():
        assert distance(out, network(images, 3)) < 2e-5
    (out.depth.mean() + out.points.mean() + out.codes.mean()).backward()
    idle = [name for name, p in learning.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


def test_pose_code_round_trip():
    draw = torch.Generator().manual_seed(5)
    q = torch.nn.functional.normalize(torch.randn(50, 4, generator=draw), dim=-1)
    q = torch.where(q[:, 3:] < 0, -q, q)
    code = torch.cat((torch.randn(50, 3, generator=draw), q, 0.2 + 2 * torch.rand(50, 2, generator=draw)), dim=1)
    extrinsics, intrinsics = pose.decode(code, 280, 518)
    rotation = extrinsics[:, :, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(50), atol=1e-5)
    assert torch.allclose(pose.encode(extrinsics, intrinsics, 280, 518), code, atol=1e-5)
    longer = code.clone()
    longer[:, 3:7] *= 3  # the length of the quaternion says nothing
    assert torch.allclose(pose.decode(longer, 280, 518)[0], extrinsics, atol=1e-5)


def test_angle_of_zero_is_bounded():
    code = torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 0, 0])
    assert torch.isfinite(pose.decode(code, 100, 100)[1]).all()
    assert torch.isinf(pose.decode(code, 100, 100, bounded=False)[1]).any()
