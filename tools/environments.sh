#!/usr/bin/env bash
# Make the development environments, each only when something it is made from has changed.
#   tools/environments.sh [dev|bpy45|bpy50|bpy52|wheels]...   (default: all)
# dev     .venv        the engine, editable, with its tools                      Python 3.11 or newer
# bpy45   .venv-bpy45  bpy 4.5 LTS and pytest                                    Python 3.11
# bpy50   .venv-bpy50  bpy 5.0 and pytest                                        Python 3.11
# bpy52   .venv-bpy52  bpy 5.2 LTS and pytest; skipped where there is no         Python 3.13
# wheels  wheels/      what the extension of this machine's platform bundles
# bpy up to 5.0 needs NumPy 1, so engine and bpy never share an environment: as it is for users.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# Libraries that bpy loads and a bare Debian does not have: library file, Debian package.
BPY_LIBRARIES="libX11.so.6:libx11-6 libXi.so.6:libxi6 libXxf86vm.so.1:libxxf86vm1 libXfixes.so.3:libxfixes3
  libXrender.so.1:libxrender1 libGL.so.1:libgl1 libEGL.so.1:libegl1 libSM.so.6:libsm6 libICE.so.6:libice6
  libxkbcommon.so.0:libxkbcommon0 libgomp.so.1:libgomp1"

apt_install() {
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
    die "these packages are missing: $*. Install them as root: apt-get install $*"
  say "installing $*"
  apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null; } ||
    die "apt-get could not install $*"
}

# find_python X.Y: print an interpreter of exactly that version, or fail. pyenv's launchers exist even for versions
# that are not active, so every candidate is run before it is believed.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" "python$1" "$HOME"/.pyenv/versions/"$1"*/bin/python "${PYENV_ROOT:-/nowhere}"/versions/"$1"*/bin/python \
    /usr/local/bin/"python$1" /opt/python*/bin/"python$1" python3; do
    [[ -n $candidate ]] && [[ $("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == "$1" ]] &&
      { command -v "$candidate"; return 0; }
  done
  return 1
}

# Install what the system lacks of BPY_LIBRARIES; false where it lacks nothing.
system_libraries() {
  local pair known missing=()
  known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
  for pair in $BPY_LIBRARIES; do
    grep -qF "${pair%%:*} " <<<"$known" || missing+=("${pair##*:}")
  done
  [[ ${#missing[@]} -gt 0 ]] && apt_install "${missing[@]}"
}

# make_environment FOLDER PYTHON CHECK PIP_ARGUMENTS...: create or refresh a virtual environment. CHECK is a line of
# Python that must run in it. The stamp holds everything the environment depends on.
make_environment() {
  local folder=$1 python=$2 check=$3
  shift 3
  local key
  key=$({ "$python" -VV; pwd; echo "$@"; [[ $folder == .venv ]] && cat pyproject.toml; true; } | sha256sum)
  if [[ -f $folder/.stamp && $(<"$folder/.stamp") == "$key" ]]; then
    say "$folder is up to date"
    return
  fi
  [[ -x $folder/bin/python ]] && "$folder/bin/python" -c '' 2>/dev/null || rm -rf "$folder"
  if [[ ! -d $folder ]]; then
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    "$python" -m venv "$folder"
  fi
  say "$folder: installing $*"
  "$folder/bin/python" -m pip install -qq --disable-pip-version-check "$@" || die "pip failed for $folder"
  if ! "$folder/bin/python" -c "$check" 2>"$folder/.check.log"; then
    [[ $check == *bpy* ]] && system_libraries && "$folder/bin/python" -c "$check" 2>"$folder/.check.log" ||
      die "$folder was installed but does not work: $(tail -n 1 "$folder/.check.log")"
  fi
  echo "$key" >"$folder/.stamp"
  say "$folder is ready"
}

setup_dev() {
  local python version
  for version in 3.11 3.12 3.13 3.14; do
    python=$(find_python "$version") && break
  done
  [[ -n $python ]] || die "Python 3.11 or newer is needed. On Debian: apt-get install python3 python3-venv"
  make_environment .venv "$python" "import av, cv2, numpy, pycolmap, OpenEXR, pxr, torch, geo4d" --editable '.[dev]'
}

# setup_bpy SHORT BPY PYTHON
setup_bpy() {
  local python
  if ! python=$(find_python "$3"); then
    say "bpy $2 skipped: it needs Python $3, which is not on this machine"
    return
  fi
  make_environment ".venv-$1" "$python" "import bpy; assert bpy.app.version_string.startswith('$2'[:3])" \
    "bpy==$2" "pytest>=8"
}

setup() {
  case $1 in
    dev) setup_dev ;;
    bpy45) setup_bpy bpy45 4.5.15 3.11 ;;
    bpy50) setup_bpy bpy50 5.0.1 3.11 ;;
    bpy52) setup_bpy bpy52 5.2.3 3.13 ;;
    wheels)
      setup_dev >/dev/null
      .venv/bin/python tools/wheels.py fetch
      ;;
    *) die "unknown environment $1; choose from dev bpy45 bpy50 bpy52 wheels" ;;
  esac
}

[[ $# -gt 0 ]] || set -- dev bpy45 bpy50 bpy52 wheels
for name in "$@"; do
  setup "$name"
done
