"""Wheels of the bundled CPU engine: write the lock file, fetch what it names, check every byte.

``wheels/wheels.lock`` is committed and names each wheel by file and SHA-256; the wheels themselves are fetched
by pip, by name and version, when the extension is built, and git ignores them. NumPy is never among them:
Blender brings its own.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "wheels"
LOCK = WHEELS / "wheels.lock"

PACKAGES = ("av==18.1.0", "opencv-python-headless==4.11.0.86", "pycolmap==4.2.1", "OpenEXR==3.5.3")
PYTHONS = ("3.11", "3.13")  # Blender 4.5 and 5.0, Blender 5.1 and later

# Wheel platform tags that run on each Blender platform. Blender itself asks for glibc 2.28; on macOS, Blender
# does not compare the system version in the tag, so the newest tag in the lock is the extension's real minimum.
MACOS = [f"{major}_0" for major in range(11, 15)] + ["10_9", "10_12", "10_13", "10_15"]
PLATFORM_TAGS = {
    "linux-x64": ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "windows-x64": ["win_amd64"],
    "macos-arm64": [f"macosx_{v}_{arch}" for v in MACOS for arch in ("arm64", "universal2")],
}
# Platforms that Blender runs on and at least one engine package has no wheel for: their zip has no engine in it.
PLATFORMS_WITHOUT_ENGINE = {
    "macos-x64": "no pycolmap 4 wheel exists for Intel Macs (Blender 4.5 is the last that runs there)",
    "windows-arm64": "no opencv-python-headless 4.11 wheel exists for Windows on ARM",
}

HEADER = """\
# Wheels of the bundled CPU engine, one a line:
#   Blender platform, Python tags it serves (cp311: Blender 4.5 and 5.0, cp313: Blender 5.1 and later),
#   package==version, SHA-256, file name.
# abi3 wheels serve both Pythons. NumPy is never here: the engine runs on Blender's own.
# Written by `python tools/wheels.py lock`; `python tools/wheels.py fetch` gets and checks the files.
#
# No engine is bundled for these platforms:
"""


@dataclass(frozen=True)
class Wheel:
    """One line of the lock file."""

    platform: str  # Blender's name: "linux-x64"
    pythons: tuple[str, ...]  # ("cp311", "cp313")
    requirement: str  # "av==18.1.0"
    sha256: str
    file: str

    @property
    def path(self) -> Path:
        return WHEELS / self.file


def this_platform() -> str:
    """Blender's name of the platform that runs this script, e.g. ``"linux-x64"``."""
    system = {"darwin": "macos"}.get(platform.system().lower(), platform.system().lower())
    machine = platform.machine().lower()
    return f"{system}-{ {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(machine, machine) }"


def read_lock() -> list[Wheel]:
    """All lines of the lock file."""
    wheels = []
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, pythons, requirement, digest, file = line.split()
            wheels.append(Wheel(name, tuple(pythons.split(",")), requirement, digest.removeprefix("sha256:"), file))
    return wheels


def locked(platform_name: str) -> list[Wheel]:
    """The wheels of one Blender platform. Raises :class:`SystemExit` with a sentence where there are none."""
    wheels = [wheel for wheel in read_lock() if wheel.platform == platform_name]
    if not wheels:
        reason = PLATFORMS_WITHOUT_ENGINE.get(platform_name, f"choose from {', '.join(PLATFORM_TAGS)}")
        raise SystemExit(f"wheels: {platform_name} has no bundled engine: {reason}.")
    return wheels


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pip_download(folder: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--dest", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"wheels: pip could not get {arguments[-1]}:\n{done.stderr.strip()}")


def fetch_wheel(wheel: Wheel) -> bool:
    """Put ``wheel`` into wheels/ unless it lies there already. True when it was fetched.

    The file moves into place only after its hash was compared, so that an interrupted fetch leaves nothing behind.
    """
    if wheel.path.is_file() and sha256(wheel.path) == wheel.sha256:
        return False
    _, _, _, abi, platforms = wheel.file.removesuffix(".whl").rsplit("-", 4)
    python = wheel.pythons[0]
    with tempfile.TemporaryDirectory(dir=WHEELS, prefix=".fetch-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        arguments = ["--python-version", f"{python[2]}.{python[3:]}", "--abi", abi]
        for tag in platforms.split("."):
            arguments += ["--platform", tag]
        pip_download(folder, [*arguments, "--require-hashes", "--requirement", str(requirements)])
        found = folder / wheel.file
        if not found.is_file():
            raise SystemExit(f"wheels: pip fetched no {wheel.file}. Write the lock file again (tools/wheels.py lock).")
        if sha256(found) != wheel.sha256:
            raise SystemExit(f"wheels: {wheel.file} has another SHA-256 than wheels/wheels.lock says. Do not use it.")
        os.replace(found, wheel.path)
    return True


def fetch(platform_name: str) -> None:
    """Fetch and check all wheels of one Blender platform."""
    wheels = locked(platform_name)
    new = sum(fetch_wheel(wheel) for wheel in wheels)
    size = sum(wheel.path.stat().st_size for wheel in wheels) / 1e6
    print(f"wheels: {platform_name}: {len(wheels)} wheels, {size:.0f} MB, hashes right ({new} fetched)")


def lock() -> None:
    """Ask pip for every package on every platform and Python, and write the lock file."""
    found: dict[tuple[str, str], Wheel] = {}
    with tempfile.TemporaryDirectory() as name:
        for platform_name, tags in PLATFORM_TAGS.items():
            for requirement in PACKAGES:
                for python in PYTHONS:
                    folder = Path(name) / platform_name / requirement / python
                    options = ["--python-version", python]
                    for tag in tags:
                        options += ["--platform", tag]
                    pip_download(folder, [*options, requirement])
                    (file,) = folder.iterdir()
                    tag = "cp" + python.replace(".", "")
                    earlier = found.get((platform_name, file.name))
                    pythons = (*earlier.pythons, tag) if earlier else (tag,)
                    wheel = Wheel(platform_name, pythons, requirement, sha256(file), file.name)
                    found[platform_name, file.name] = wheel
                    shutil.move(file, wheel.path)
    lines = [HEADER.rstrip("\n")]
    lines += [f"#   {name}: {reason}" for name, reason in PLATFORMS_WITHOUT_ENGINE.items()]
    lines += [f"{w.platform} {','.join(w.pythons)} {w.requirement} sha256:{w.sha256} {w.file}" for w in found.values()]
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wheels: {LOCK.relative_to(ROOT)}: {len(found)} wheels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="write wheels/wheels.lock again (after a version above changed)")
    get = commands.add_parser("fetch", help="get the wheels of a platform into wheels/ and check their hashes")
    get.add_argument("--platform", default=this_platform(), help="Blender platform or 'all' (default: this machine's)")
    arguments = parser.parse_args()
    if arguments.command == "lock":
        lock()
    else:
        for name in PLATFORM_TAGS if arguments.platform == "all" else [arguments.platform]:
            fetch(name)


if __name__ == "__main__":
    main()
