"""The unfinished scene beside its future name: resume, one writer at a time, publish by renaming."""

import errno
import json
import os
import shutil
import zipfile
import zlib
from pathlib import Path

from ..errors import BadRequest, OutputError
from .checkpoint import load_dataclass, replace_atomically, save_dataclass
from .reader import FORMAT, SCENE_FILE

if os.name == "nt":
    import msvcrt
else:
    import fcntl

_STATE = "state.json"


class Workspace:
    """Work in progress for one scene folder ``target``.

    Everything is written to ``<target>.partial``; :meth:`publish` renames it to ``target``. ``key`` is the hash
    of everything that determines the result: a partial folder of another key is discarded, one of the same key
    continued. A lock file beside it keeps two runs from writing the same scene; the system drops the lock when
    a process dies, however it dies.

    Raises
    ------
    BadRequest
        if ``target`` exists and is not a scene, or another run holds it.
    OutputError
        if the folder cannot be created or written.
    """

    def __init__(self, target: str | Path, key: str, fresh: bool = False):
        self.target = Path(os.path.abspath(target))
        self.folder = self.target.with_name(self.target.name + ".partial")
        self.key = key
        self.fresh = fresh
        self._lock_path = self.target.with_name(self.target.name + ".lock")
        self._lock = None

    def __enter__(self) -> "Workspace":
        with output_errors(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
            try:
                self._recover()
                self._check_target()
                if self.folder.exists() and (self.fresh or self._stored_key() != self.key):
                    shutil.rmtree(self.folder)
                (self.folder / "depth").mkdir(parents=True, exist_ok=True)
                replace_atomically(self.folder / _STATE, lambda p: p.write_text(json.dumps({"key": self.key})))
            except BaseException:
                self._release()
                raise
        return self

    def __exit__(self, *_) -> None:
        self._release()

    def is_finished(self) -> bool:
        """True if ``target`` already holds the complete result for this key and no fresh one is wanted."""
        if self.fresh:
            return False
        try:
            return json.loads((self.target / SCENE_FILE).read_text(encoding="utf-8"))["cache_key"] == self.key
        except (OSError, ValueError, KeyError):
            return False

    def load(self, name: str, kind):
        """The stage result stored as ``name``, or None if it is missing or unreadable."""
        path = self.folder / f"{name}.npz"
        try:
            return load_dataclass(path, kind)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
            path.unlink(missing_ok=True)
            return None

    def store(self, name: str, value) -> None:
        """Keep a finished stage's result."""
        with output_errors(self.folder):
            save_dataclass(self.folder / f"{name}.npz", value)

    def publish(self, scratch: tuple[str, ...]) -> Path:
        """Drop the files and folders named in ``scratch`` and rename the folder to its final name; returns that."""
        with output_errors(self.target):
            for name in (*scratch, _STATE):
                if (self.folder / name).is_dir():
                    shutil.rmtree(self.folder / name)
                else:
                    (self.folder / name).unlink(missing_ok=True)
            for stale in self.folder.glob("**/.*.tmp"):
                stale.unlink()
            old = self._old
            if self.target.exists():
                os.rename(self.target, old)
            os.rename(self.folder, self.target)
            shutil.rmtree(old, ignore_errors=True)
        return self.target

    @property
    def _old(self) -> Path:
        return self.target.with_name(self.target.name + ".old")

    def _recover(self) -> None:
        # A crash between the two renames of publish() leaves the previous scene under its .old name.
        if self._old.exists():
            if self.target.exists():
                shutil.rmtree(self._old)
            else:
                os.rename(self._old, self.target)

    def _check_target(self) -> None:
        if not self.target.exists():
            return
        if not self.target.is_dir():
            raise BadRequest(
                "output_is_file", f"The output {self.target} is a file, not a folder.", "Choose another output folder."
            )
        if not any(self.target.iterdir()):
            self.target.rmdir()
            return
        try:
            known = json.loads((self.target / SCENE_FILE).read_text(encoding="utf-8"))["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise BadRequest(
                "output_not_a_scene",
                f"The output folder {self.target} holds other files and would be overwritten.",
                "Choose an empty or new folder.",
            )

    def _stored_key(self) -> str | None:
        try:
            return json.loads((self.folder / _STATE).read_text())["key"]
        except (OSError, ValueError, KeyError):
            return None

    def _acquire(self) -> None:
        handle = open(self._lock_path, "a+b")
        try:
            if os.name == "nt":
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise BadRequest(
                "output_busy",
                f"Another reconstruction is writing {self.target}.",
                "Wait for it, cancel it, or choose another output folder.",
            ) from error
        self._lock = handle
        # The holder before us may have unlinked the file between our open and our lock.
        try:
            current = os.stat(self._lock_path).st_ino == os.fstat(handle.fileno()).st_ino
        except FileNotFoundError:
            current = False
        if not current:
            handle.close()
            self._lock = None
            self._acquire()

    def _release(self) -> None:
        if self._lock is None:
            return
        # Unlinked while still held: on Windows an open file cannot be unlinked, and a left-over empty file
        # does no harm there.
        if os.name != "nt":
            self._lock_path.unlink(missing_ok=True)
        self._lock.close()
        self._lock = None


class output_errors:  # noqa: N801 - reads as a statement
    """Context that turns OSError while writing ``path`` into one clear :class:`OutputError`."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, _trace) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                "disk_full",
                f"The disk is full while writing {self.path}.",
                "Free some space and run again; finished work is kept.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.EEXIST):
            raise OutputError(
                "output_not_writable",
                f"{self.path} cannot be written ({error.strerror}).",
                "Choose a folder where you may write.",
            ) from error
        raise OutputError(
            "output_failed", f"Writing {self.path} failed ({error}).", "Choose another folder."
        ) from error
