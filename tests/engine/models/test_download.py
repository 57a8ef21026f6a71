"""Downloads from a real HTTP server on this machine: whole, interrupted, continued, changed, refused."""

import hashlib
import http.server
import threading

import pytest
from geo4d.errors import BadRequest, GeoError
from geo4d.models.download import fetch

CONTENT = bytes(range(256)) * 20_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; ``server.limit`` bytes and then it hangs up."""

    def do_GET(self):
        server = self.server
        if self.path != "/file":
            self.send_error(404)
            return
        begin = 0
        if wanted := self.headers.get("Range"):
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            server.ranges.append(begin)
        if begin > len(CONTENT):
            self.send_error(416)
            return
        partly = begin and server.knows_ranges
        body = CONTENT[begin if partly else 0 :]
        self.send_response(206 if partly else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.limit])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.limit, server.knows_ranges, server.ranges = None, True, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_whole_file(server, tmp_path):
    path = fetch(server.url, tmp_path / "new" / "a.bin", hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interrupted_one_is_continued(server, tmp_path, knows_ranges):
    server.limit, server.knows_ranges = 1_500_000, knows_ranges
    with pytest.raises(GeoError, match=f"1500000 of {len(CONTENT)} bytes") as caught:
        fetch(server.url, tmp_path / "a.bin")
    assert caught.value.code == "download_incomplete"
    assert not (tmp_path / "a.bin").exists()
    server.limit = None
    assert fetch(server.url, tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges == [1_500_000]


def test_a_part_longer_than_the_file_begins_anew(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"old")
    assert fetch(server.url, tmp_path / "a.bin").read_bytes() == CONTENT


def test_other_content_is_not_kept(server, tmp_path):
    with pytest.raises(BadRequest, match="not the file that was expected"):
        fetch(server.url, tmp_path / "a.bin", "0" * 64)
    assert not any(tmp_path.iterdir())


def test_errors_name_the_address(server, tmp_path):
    with pytest.raises(GeoError, match="404"):
        fetch(server.url + "s", tmp_path / "a.bin")
    with pytest.raises(GeoError, match=r"127\.0\.0\.1:9 cannot be fetched|127\.0\.0\.1:9/x cannot be fetched"):
        fetch("http://127.0.0.1:9/x", tmp_path / "a.bin")
    with pytest.raises(GeoError, match="cannot be fetched"):
        fetch("no address", tmp_path / "a.bin")
