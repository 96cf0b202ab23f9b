#!/usr/bin/env bash
# Installs what the build needs and the machine lacks, into third_party/ of this checkout; nothing else is touched.
#
#   third_party/venv      a Python environment, only for its pip and interpreter
#   third_party/python    the pinned wheels of scripts/requirements.txt (libtorch, libmujoco, MJCF models, Gymnasium)
#   third_party/mujoco    libmujoco.so under the name the linker asks for
#
# Idempotent: a stamp holds the digest of the pins, and while it matches nothing is downloaded or written.
# A libtorch or libmujoco of your own is used instead where LIBTORCH or MUJOCO_DYNAMIC_LINK_DIR names it.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || fail "'$1' not found: $2"; }
need cargo "install Rust 1.95 or newer (https://rustup.rs)"
need cc "install a C compiler (Debian/Ubuntu: build-essential)"
need c++ "install a C++ compiler (Debian/Ubuntu: build-essential)"
need python3 "install Python 3.10 to 3.13 with venv and pip (Debian/Ubuntu: python3-venv python3-pip)"
python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  fail "python3 is $(python3 -V 2>&1 | cut -d' ' -f2), expected 3.10 to 3.13 (the pinned wheels exist for these)"
python3 -c 'import venv, ensurepip' 2>/dev/null ||
  fail "python3 has no venv/ensurepip (Debian/Ubuntu: apt install python3-venv)"

deps=third_party
[ -z "${LIBTORCH:-}" ] || [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] ||
  fail "LIBTORCH=$LIBTORCH: expected lib/libtorch_cpu.so in it (unset it to have set-up install torch 2.11.0)"
[ -z "${MUJOCO_DYNAMIC_LINK_DIR:-}" ] || [ -e "$MUJOCO_DYNAMIC_LINK_DIR/libmujoco.so" ] ||
  fail "MUJOCO_DYNAMIC_LINK_DIR=$MUJOCO_DYNAMIC_LINK_DIR: expected libmujoco.so in it (unset it to have set-up install 3.17.0)"

# Your own libtorch makes torch's gigabyte unnecessary.
pins=$deps/requirements.effective.txt
mkdir -p "$deps"
if [ -n "${LIBTORCH:-}" ]; then grep -vE '^(torch|nvidia-)' scripts/requirements.txt; else cat scripts/requirements.txt; fi >"$pins.new"
stamp="$(cat "$pins.new" scripts/setup.sh | sha256sum | cut -d' ' -f1) $(python3 -V 2>&1)"

if [ "$(cat "$deps/stamp" 2>/dev/null)" != "$stamp" ]; then
  echo "setup: installing pinned wheels into $deps/python (about 1.3 GB; once)"
  mv "$pins.new" "$pins"
  rm -rf "$deps/stamp" "$deps/python.partial" "$deps/venv"
  python3 -m venv "$deps/venv" >"$deps/setup.log" 2>&1 || fail "python3 -m venv failed: see $deps/setup.log"
  "$deps/venv/bin/python" -m pip install --no-deps --no-compile --only-binary :all: --no-cache-dir --disable-pip-version-check \
    --progress-bar off --retries 2 --target "$deps/python.partial" -r "$pins" >>"$deps/setup.log" 2>&1 ||
    fail "could not install the wheels of scripts/requirements.txt (no network?): $(grep -E 'ERROR' "$deps/setup.log" | head -n 1 | cut -c1-160); log: $deps/setup.log"
  rm -rf "$deps/python" "$deps/mujoco"
  mv "$deps/python.partial" "$deps/python"
  mkdir -p "$deps/mujoco"
  ln -s ../python/mujoco/libmujoco.so.3.17.0 "$deps/mujoco/libmujoco.so"
  ln -s ../python/mujoco/libmujoco.so.3.17.0 "$deps/mujoco/libmujoco.so.3.17.0"
  echo "$stamp" >"$deps/stamp"
else
  rm -f "$pins.new"
fi
for file in mujoco/libmujoco.so python/gymnasium/envs/mujoco/assets/humanoid.xml ${LIBTORCH:+-} python/torch/lib/libtorch_cpu.so; do
  [ "$file" = - ] && break
  [ -e "$deps/$file" ] || fail "$deps/$file is missing although set-up ran: remove $deps/stamp and run again"
done

# Crates: silent and offline when all are there.
cargo fetch --locked --offline --quiet >/dev/null 2>&1 || cargo fetch --locked --quiet 2>"$deps/cargo-fetch.log" ||
  fail "could not download the crates of Cargo.lock (no network?): $(grep -vE '^\s*$' "$deps/cargo-fetch.log" | head -n 1 | cut -c1-160); log: $deps/cargo-fetch.log"
