#!/usr/bin/env bash
# The same control step in libtorch, ONNX Runtime, tract, candle and plain Rust beside this runtime: installs ONNX Runtime's library
# into third_party/onnxruntime, lints and tests what only the feature `peers` builds, then measures. Arguments go to the program
# (`--quick`, `--size small`, `--json FILE`); `--install` alone only installs.
#
# Idempotent: a stamp holds the pin, and while it matches nothing is downloaded. A library of your own is used instead where
# ORT_DYLIB_PATH names it.
set -euo pipefail
cd "$(dirname "$0")/.."
# libgomp's barriers spin, and every contender has one thread.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive RAYON_NUM_THREADS=1

fail() { echo "peers: $*" >&2; exit 1; }

bash scripts/setup.sh

pin=onnxruntime==1.32.0
folder=third_party/onnxruntime
log=third_party/onnxruntime.log
if [ -n "${ORT_DYLIB_PATH:-}" ]; then
  [ -f "$ORT_DYLIB_PATH" ] || fail "ORT_DYLIB_PATH=$ORT_DYLIB_PATH: expected ONNX Runtime's library, found no file (unset it to have $pin installed)"
elif [ "$(cat "$folder/stamp" 2>/dev/null)" != "$pin" ]; then
  echo "peers: installing $pin into $folder (28 MB to download; once)"
  rm -rf "$folder.partial"
  # Only the library in it is used, which is the same for every Python: the wheel need not be for the interpreter at hand.
  third_party/venv/bin/python -m pip install --no-deps --no-compile --only-binary :all: --python-version 3.13 --no-cache-dir \
    --disable-pip-version-check --progress-bar off --retries 2 --target "$folder.partial" "$pin" >"$log" 2>&1 ||
    fail "could not install $pin (no network?): $(grep -E 'ERROR' "$log" | head -n 1 | cut -c1-160); log: $log"
  [ -f "$folder.partial/onnxruntime/capi/libonnxruntime.so.${pin#*==}" ] ||
    fail "$pin: expected onnxruntime/capi/libonnxruntime.so.${pin#*==} in the wheel, found none; log: $log"
  echo "$pin" >"$folder.partial/stamp"
  rm -rf "$folder"
  mv "$folder.partial" "$folder"
fi

[ "${1:-}" != --install ] || exit 0

cargo clippy --release --locked -p dreamstep-bench --features peers --all-targets -- -D warnings
cargo test --release --locked -p dreamstep-bench --features peers
cargo run --release --locked -p dreamstep-bench --features peers --bin peers -- "$@"
