"""Official layouts load; anything else is refused with one sentence that names what is wrong."""

import json
import pickle

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed (pip install "geo4d[gpu]")')

from geo4d.errors import BadRequest, ModelMissing  # noqa: E402 - needs torch
from geo4d.models.vggt4d.checkpoint import internal_name, layout, load  # noqa: E402
from geo4d.models.vggt4d.sizes import DenseHead, Encoder, Sizes, Unwritten, infer  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from small_vggt import (  # noqa: E402
    CONFIG,
    PLAIN,
    SIZES,
    payload,
    pictures,
    save_plain,
    save_release,
    small_network,
    vggt_state,
)

HEAD = DenseHead(256, (256, 512, 1024, 1024), 32, 2)
FULL = Sizes(
    width=1024,
    depth=24,
    heads=16,
    hidden=4096,
    registers=4,
    encoder=Encoder(1024, 24, 16, 4096, 4, 37),
    camera_depth=4,
    camera_heads=16,
    camera_hidden=1024,
    depth_head=HEAD,
    point_head=DenseHead(256, (256, 512, 1024, 1024), 32, 4),
    window=5,
)


def test_size_of_the_released_networks():
    """Numbers of tensors and of values, without VGGT's track head and the unused mask token."""
    shapes = layout(FULL)
    assert len(shapes) == 2296 - 1
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 1_803_726_236 - 1024
    plain = layout(Sizes(**{**vars(FULL), "window": 0}))
    assert len(plain) == 1403 - 1
    assert sum(torch.Size(shape).numel() for shape in plain.values()) == 1_190_596_120 - 1024


@pytest.mark.parametrize("listing", ["KEYS_4dvggt.txt", "KEYS_vggt.txt"])
def test_official_lists_of_tensors(vggt_golden, listing):
    path = vggt_golden.parent / listing
    shapes = {}
    for line in path.read_text().splitlines():
        if (fields := line.split("\t"))[1:] and fields[1].startswith("["):
            name, shape = internal_name(fields[0]), tuple(json.loads(fields[1]))
            if not name.startswith("track_head.") and not name.endswith("mask_token"):
                shapes[name] = shape
    sizes = infer(shapes, Unwritten())
    assert layout(sizes) == shapes
    assert sizes == FULL if "4d" in listing else sizes.window == 0


def test_every_official_kind_of_file(tmp_path):
    network, plain = small_network(), small_network(PLAIN)
    images = pictures(2)
    with torch.inference_mode():
        expected, expected_plain = network(images).depth, plain(images).depth
        assert torch.equal(load(save_release(tmp_path / "4d.pt", network))(images).depth, expected)
        assert torch.equal(load(save_plain(tmp_path / "vggt.safetensors", plain))(images).depth, expected_plain)
        flat = tmp_path / "model.pt"
        torch.save({f"module.{name}": t for name, t in vggt_state(plain).items()}, flat)
        assert torch.equal(load(flat, Unwritten.from_config(CONFIG))(images).depth, expected_plain)


def test_weights_stay_in_the_file(tmp_path):
    """Not read before they are used: the loaded tensors are views of the mapped file."""
    loaded = load(save_release(tmp_path / "4d.pt"))
    storages = {p.untyped_storage().data_ptr() for p in loaded.parameters()}
    assert all(p.device.type == "cpu" and not p.requires_grad for p in loaded.parameters())
    assert len(storages) > 1 and loaded.sizes == SIZES


def test_point_head_may_be_absent(tmp_path):
    state = {name: t for name, t in vggt_state(small_network(PLAIN)).items() if not name.startswith("point_head")}
    save_file(state, tmp_path / "m.safetensors", metadata={"config": json.dumps(CONFIG)})
    network = load(tmp_path / "m.safetensors")
    with torch.inference_mode():
        assert network(pictures(2)).points is None


def refused(path, code: str = "weights_wrong", unwritten=None) -> str:
    with pytest.raises(BadRequest) as caught:
        load(path, unwritten)
    assert caught.value.code == code and caught.value.hint
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    "name", ["spatial_head.trunk_norm.bias", "cross_time_local_fusion.frame_blocks.2.norm1.weight"]
)
def test_missing_tensor_is_named(tmp_path, name):
    content = payload(small_network())
    del content["model"][name]
    torch.save(content, tmp_path / "m.pt")
    assert f"it lacks {name}" in refused(tmp_path / "m.pt")


def test_missing_tensor_that_tells_the_size_is_named(tmp_path):
    content = payload(small_network())
    del content["model"]["cross_view_global_fusion.register_token"]
    torch.save(content, tmp_path / "m.pt")
    assert "cross_view_global_fusion.register_token is missing" in refused(tmp_path / "m.pt")


def test_surplus_and_misshapen_tensors_are_named(tmp_path):
    content = payload(small_network())
    content["model"] |= {"extra.weight": torch.zeros(2), "spatial_head.token_norm.bias": torch.zeros(7)}
    torch.save(content, tmp_path / "m.pt")
    message = refused(tmp_path / "m.pt")
    assert "unknown extra.weight" in message and "spatial_head.token_norm.bias is (7,), not (64,)" in message


def test_other_files(tmp_path):
    with pytest.raises(ModelMissing):
        load(tmp_path / "none.pt")
    (tmp_path / "text.safetensors").write_text("no weights, but text that is long enough")
    refused(tmp_path / "text.safetensors", "weights_changed")
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pt")
    assert "register_token is missing" in refused(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt")
    assert "'5d'" in refused(save_release(tmp_path / "later.pt", architecture="5d"))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_cut_files(tmp_path, share):
    for path, code in (
        (save_release(tmp_path / "m.pt"), "weights_wrong"),
        (save_plain(tmp_path / "m.safetensors"), "weights_changed"),
    ):
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        refused(path, code)


class Trap:
    def __reduce__(self):
        return (print, ("opened",))


def test_code_in_a_checkpoint_never_runs(tmp_path, capsys):
    content = payload(small_network()) | {"released_tasks": Trap()}
    torch.save(content, tmp_path / "m.pt", pickle_module=pickle)
    refused(tmp_path / "m.pt", "weights_unsafe")
    assert "opened" not in capsys.readouterr().out
