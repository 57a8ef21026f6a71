"""A hub on this machine: the few answers that the hub's client asks for, with ranges, gates and hang-ups."""

import hashlib
import http.server
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool):
        server = self.server
        server.tokens.append(self.headers.get("Authorization"))
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repository in server.gated:
            self._refuse(403, "GatedRepo")
        elif revision != COMMIT or name not in server.files:
            self._refuse(404, "EntryNotFound")
        elif server.store:
            self.send_response(302)
            self._describe(server.files[name])
            self.send_header("Location", server.store + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(server.files[name], body)

    def _describe(self, content: bytes):
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)

    def _refuse(self, status: int, code: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", "refused")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, body: bool):
        server, begin = self.server, 0
        if wanted := self.headers.get("Range"):
            begin = int(wanted.removeprefix("bytes=").partition("-")[0])
            server.ranges.append(begin)
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self._describe(content)
        self.send_header("Accept-Ranges", "bytes")
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.wfile.write(content[begin : None if server.limit is None else begin + server.limit])
            if server.limit is not None:
                self.close_connection = True

    def log_message(self, *_):
        pass


class HubServer(http.server.ThreadingHTTPServer):
    """``files`` by name; repositories in ``gated`` are refused; ``limit`` bytes and then it hangs up; with ``store`` it
    sends everyone to that address, as the hub does for large files. ``ranges`` and ``tokens`` were asked with."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.limit: int | None = None
        self.store: str | None = None
        self.ranges: list[int] = []
        self.tokens: list[str | None] = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()
