#!/usr/bin/env bash
# Installs what the build needs and the machine lacks, into third_party/ of this checkout; nothing else is touched.
#
#   third_party/venv      a Python environment, only for its pip and interpreter
#   third_party/python    the pinned wheels of scripts/requirements.txt (libtorch, libmujoco, MJCF models, Gymnasium)
#   third_party/mujoco    libmujoco.so under the name the linker asks for
#   third_party/car_racing_score.bin    the scores in CarRacing-v3's picture, painted by pygame (scripts/car_racing_score.py)
#
# SETUP=light leaves libtorch out (a gigabyte of torch and nvidia wheels): for who trains no V and no M. A later set-up without it adds
# the rest.
#
# Idempotent: a stamp holds the digest of the pins and what is installed, and while that is enough nothing is downloaded or written. A
# download that fails leaves the installation as it was.
#
# A libtorch or libmujoco of your own is used instead where LIBTORCH or MUJOCO_DYNAMIC_LINK_DIR names it. Set-up neither deletes nor
# overwrites one that is named, even where it lies in third_party.
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
own_torch=${LIBTORCH:-} own_mujoco=${MUJOCO_DYNAMIC_LINK_DIR:-}
[ -z "$own_torch" ] || [ -e "$own_torch/lib/libtorch_cpu.so" ] ||
  fail "LIBTORCH=$own_torch: expected lib/libtorch_cpu.so in it (unset it to have set-up install torch 2.11.0)"
[ -z "$own_mujoco" ] || [ -e "$own_mujoco/libmujoco.so" ] ||
  fail "MUJOCO_DYNAMIC_LINK_DIR=$own_mujoco: expected libmujoco.so in it (unset it to have set-up install 3.17.0)"
case ${SETUP:-} in
  "" | light) ;;
  *) fail "SETUP=$SETUP: expected light, or nothing for the whole" ;;
esac

# Where the named libraries really lie, and the files that links in them lead to.
named=()
[ -z "$own_torch" ] ||
  for path in lib include lib/libtorch_cpu.so; do named+=("$(realpath -m "$own_torch/$path")"); done
[ -z "$own_mujoco" ] || named+=("$(realpath "$own_mujoco")/libmujoco.so" "$(realpath "$own_mujoco/libmujoco.so")")
# What of them lies in folder $1, relative to it.
named_in() {
  local folder path
  folder=$(realpath -m "$1")
  for path in ${named[@]+"${named[@]}"}; do
    case $path in "$folder"/*) [ ! -e "$path" ] || echo "${path#"$folder"/}" ;; esac
  done
}
remove() { # what is there and holds none of them
  local path
  for path; do [ -n "$(named_in "$path")" ] || rm -rf "$path"; done
}

mkdir -p "$deps"
# What a set-up that was killed left.
[ -e "$deps/python" ] || [ ! -e "$deps/python.old" ] || mv "$deps/python.old" "$deps/python"
remove "$deps"/python.new.* "$deps/python.partial"
pins="$(cat scripts/requirements.txt scripts/setup.sh | sha256sum | cut -d' ' -f1) $(python3 -V 2>&1)"
found=$(cat "$deps/stamp" 2>/dev/null || true)
torch='^(torch|nvidia-)'
# Your own libtorch makes torch's gigabyte unnecessary.
if [ "${SETUP:-}" = light ] || [ -n "$own_torch" ]; then want=light; else want=whole; fi

install() { # $1: the requirements
  remove "$deps/venv"
  python3 -m venv "$deps/venv" >"$deps/setup.log" 2>&1 || fail "python3 -m venv failed: see $deps/setup.log"
  new=$(mktemp -d "$deps/python.new.XXXXXX")
  trap 'rm -rf "$new" "$deps/requirements.txt"' EXIT
  echo "$1" >"$deps/requirements.txt"
  "$deps/venv/bin/python" -m pip install --no-deps --no-compile --only-binary :all: --no-cache-dir --disable-pip-version-check \
    --progress-bar off --retries 2 --target "$new" -r "$deps/requirements.txt" >>"$deps/setup.log" 2>&1 ||
    fail "could not install the wheels of scripts/requirements.txt (no network?): $(grep -E 'ERROR' "$deps/setup.log" | head -n 1 | cut -c1-160); log: $deps/setup.log"
}

case $found in
  "$pins whole") ;;
  "$pins $want") ;;
  "$pins light")
    echo "setup: adding libtorch to $deps/python (about 1.1 GB; once)"
    install "$(grep -E "$torch" scripts/requirements.txt)"
    for entry in "$new"/*; do
      # Only bin is shared with other wheels.
      [ "${entry##*/}" = bin ] || remove "$deps/python/${entry##*/}"
      cp -alf "$entry" "$deps/python/"
    done
    echo "$pins $want" >"$deps/stamp"
    ;;
  *)
    if [ $want = light ]; then size="0.2 GB, without libtorch"; else size="1.3 GB"; fi
    echo "setup: installing pinned wheels into $deps/python (about $size; once)"
    install "$(if [ $want = light ]; then grep -vE "$torch" scripts/requirements.txt; else cat scripts/requirements.txt; fi)"
    inside=$(named_in "$deps/python")
    if [ -n "$inside" ]; then
      # The named stays what and where it is, with all beside it that the new wheels do not bring (torch needs nvidia).
      for old in "$deps/python"/*; do
        [ -e "$new/${old##*/}" ] || cp -al "$old" "$new/"
      done
      while read -r path; do
        rm -rf "${new:?}/$path"
        mkdir -p "$(dirname "$new/$path")"
        cp -al "$deps/python/$path" "$new/$path"
      done <<<"$inside"
    fi
    rm -rf "$deps/stamp" "$deps/car_racing_score.bin"
    [ ! -e "$deps/python" ] || mv "$deps/python" "$deps/python.old"
    mv "$new" "$deps/python"
    chmod 755 "$deps/python"
    rm -rf "$deps/python.old"
    remove "$deps/mujoco"
    mkdir -p "$deps/mujoco"
    for link in libmujoco.so libmujoco.so.3.17.0; do
      [ -e "$deps/mujoco/$link" ] || ln -sf ../python/mujoco/libmujoco.so.3.17.0 "$deps/mujoco/$link"
    done
    echo "$pins $want" >"$deps/stamp"
    ;;
esac
scores="$deps/car_racing_score.bin"
[ "$scores" -nt scripts/car_racing_score.py ] ||
  PYTHONPATH="$deps/python" "$deps/venv/bin/python" scripts/car_racing_score.py "$scores" >>"$deps/setup.log" 2>&1 ||
  fail "could not have pygame paint CarRacing-v3's scores: $(tail -n 1 "$deps/setup.log" | cut -c1-160); log: $deps/setup.log"
files=(car_racing_score.bin python/gymnasium/envs/mujoco/assets/humanoid.xml)
[ -n "$own_mujoco" ] || files+=(mujoco/libmujoco.so)
[ $want = light ] || files+=(python/torch/lib/libtorch_cpu.so)
for file in "${files[@]}"; do
  [ -e "$deps/$file" ] || fail "$deps/$file is missing although set-up ran: remove $deps/stamp and run again"
done

# Crates: silent and offline when all are there.
cargo fetch --locked --offline --quiet >/dev/null 2>&1 || cargo fetch --locked --quiet 2>"$deps/cargo-fetch.log" ||
  fail "could not download the crates of Cargo.lock (no network?): $(grep -vE '^\s*$' "$deps/cargo-fetch.log" | head -n 1 | cut -c1-160); log: $deps/cargo-fetch.log"
