#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for SECONDS_EACH seconds (600), one after the other, from the committed corpus and the hostile
# files on. Needs a nightly toolchain; installs cargo-fuzz into third_party/ where it is missing. What it finds lies in
# fuzz/artifacts/.
#
#   TARGETS="reader step"   only these
#   KEEP=1                  afterwards put what was reached, minimised, into fuzz/corpus/ (to be committed)
set -euo pipefail
cd "$(dirname "$0")/.."
SECONDS_EACH=${SECONDS_EACH:-600}
TARGETS=${TARGETS:-reader load step state}
CARGO_FUZZ=0.13.1

fail() { echo "fuzz: $*" >&2; exit 1; }
command -v rustup >/dev/null || fail "'rustup' not found: fuzzing needs a nightly toolchain (https://rustup.rs)"
rustup run nightly rustc --version >/dev/null 2>&1 ||
  fail "no nightly toolchain: 'rustup toolchain install nightly --profile minimal'"
PATH="$PWD/third_party/cargo-fuzz/bin:$PATH"
# Built by the workspace's own toolchain: its locked dependencies do not build on every nightly.
command -v cargo-fuzz >/dev/null ||
  cargo install cargo-fuzz --locked --version "$CARGO_FUZZ" --root third_party/cargo-fuzz --quiet ||
  fail "cargo-fuzz $CARGO_FUZZ could not be installed"

fuzz() { command=$1; shift; cargo +nightly fuzz "$command" --fuzz-dir fuzz --features libfuzzer "$@"; }
found=
for target in $TARGETS; do
  # As long as an input need be: of a header, of a whole small agent, of a sequence of calls. The corpus is committed.
  case $target in reader) most=1024 ;; load) most=6144 ;; step | state) most=512 ;; *) most=4096 ;; esac
  work=fuzz/work/$target
  mkdir -p "$work" "fuzz/corpus/$target"
  for file in runtime/tests/hostile/*.safetensors; do
    seed=$work/seed-$(basename "$file" .safetensors)
    [ "$(wc -c <"$file")" -lt "$most" ] || continue
    case $target in
      reader) cp "$file" "$seed" ;;
      load) { printf '\0'; cat "$file"; } >"$seed" ;; # 0: the rest is a file
    esac
  done
  echo "== $target, $SECONDS_EACH s"
  fuzz run "$target" "$work" "fuzz/corpus/$target" -- -max_total_time="$SECONDS_EACH" -max_len="$most" -timeout=10 \
    -rss_limit_mb=2048 -dict=fuzz/safetensors.dict -print_final_stats=1 || found="$found $target"
  if [ -n "${KEEP:-}" ]; then
    kept=fuzz/work/$target.kept
    rm -rf "$kept"
    mkdir "$kept"
    # The fewest inputs that reach each place in the code that any of them reaches; how often does not count, or there would be
    # thousands. Whole agents are left out: they are the hostile files, and go stale.
    fuzz run "$target" "$kept" "$work" "fuzz/corpus/$target" -- -set_cover_merge=1 -use_counters=0 -max_len="$most"
    find "$kept" -type f -size +1023c -delete
    rm -rf "fuzz/corpus/$target"
    mv "$kept" "fuzz/corpus/$target"
  fi
done
[ -z "$found" ] || fail "found something:$found (inputs in fuzz/artifacts/; understood, they go to fuzz/findings/<target>/)"
[ -z "${KEEP:-}" ] || du -sb fuzz/corpus/*
