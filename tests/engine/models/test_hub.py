"""Files from a hub on this machine, through the hub's own client: whole, interrupted, gated, changed, absent."""

import hashlib

import pytest
from geo4d.errors import BadRequest, Cancelled, GeoError
from geo4d.models.hub import fetch_from_hub
from geo4d.models.registry import HubFile, SourceFile
from geo4d.progress import Silent
from hub_server import COMMIT, HubServer

pytest.importorskip("huggingface_hub", reason='huggingface_hub is not installed (pip install "geo4d[gpu]")')
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.files["weights/model.bin"] = CONTENT
        yield server


def source(**changes) -> SourceFile:
    values = {
        "name": "model.bin",
        "where": "the hub",
        "bytes_about": len(CONTENT),
        "hub": HubFile("owner/model", COMMIT, "weights/model.bin"),
        "bytes_exact": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return SourceFile(**(values | changes))


class Watcher(Silent):
    def __init__(self):
        super().__init__()
        self.seen = []

    def advance(self, stage, done, total):
        self.seen.append((stage, done, total))


def test_a_whole_file_with_progress(hub, tmp_path):
    watcher = Watcher()
    path = fetch_from_hub(source(), tmp_path / "new", watcher)
    assert path == tmp_path / "new" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert watcher.seen[-1] == ("download", len(CONTENT), len(CONTENT))


def test_an_interrupted_one_is_continued(hub, tmp_path):
    hub.limit = 600_000
    with pytest.raises(GeoError, match=f"600000 of {len(CONTENT)} bytes"):
        fetch_from_hub(source(), tmp_path, Silent())
    assert not (tmp_path / "model.bin").exists()
    hub.limit = None
    assert fetch_from_hub(source(), tmp_path, Silent()).read_bytes() == CONTENT
    assert hub.ranges == [600_000]


def test_the_token_goes_to_the_hub_alone(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with HubServer() as store:
        store.files = hub.files
        hub.store = store.address
        fetch_from_hub(source(), tmp_path, Silent())
        assert hub.tokens == ["Bearer hf_secret"]
        assert store.tokens == [None]


def test_a_gated_repository_says_where_to_ask(hub, tmp_path):
    hub.gated.add("owner/model")
    with pytest.raises(BadRequest, match="wants to be asked") as caught:
        fetch_from_hub(source(), tmp_path, Silent())
    assert caught.value.code == "download_gated"
    assert f"{hub.address}/owner/model" in caught.value.hint and "hf auth login" in caught.value.hint


def test_other_content_is_not_kept(hub, tmp_path):
    with pytest.raises(BadRequest, match="not the file that was expected"):
        fetch_from_hub(source(sha256="0" * 64), tmp_path, Silent())
    assert not (tmp_path / "model.bin").exists()
    with pytest.raises(BadRequest, match="5120000 bytes, not the 7"):
        fetch_from_hub(source(bytes_exact=7), tmp_path, Silent())


def test_absent_files_and_absent_servers_are_named(hub, tmp_path, monkeypatch):
    with pytest.raises(GeoError, match=r"has no nothing\.bin at 0123456789ab"):
        fetch_from_hub(source(hub=HubFile("owner/model", COMMIT, "nothing.bin")), tmp_path, Silent())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(GeoError, match=r"http://127\.0\.0\.1:9/owner/model cannot be reached"):
        fetch_from_hub(source(), tmp_path / "other", Silent())


def test_cancel_stops_it(hub, tmp_path):
    class Impatient(Silent):
        def advance(self, stage, done, total):
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch_from_hub(source(), tmp_path, Impatient())
    assert not (tmp_path / "model.bin").exists()
