#!/usr/bin/env bash
# Every house rule and every test, and how many tests there were. CI runs this first (.ci/run).
#
#   scripts/test.sh            everything; `make setup` first
#   scripts/test.sh runtime    core, runtime, capi, conformance and fixtures only: no set-up, minutes
#
# A test that cannot run on this machine is counted as skipped and listed with its reason; where CI is set, a test that lacks what can be
# installed (EGL, ffmpeg) fails instead (fixtures/src/skip.rs).
#
# Tests run every back end that the processor has. A machine that is there to test certain ones says so, and a missing one fails:
# DREAMSTEP_REQUIRE_BACKENDS=avx2,avx512 scripts/test.sh (runtime/tests/backends.rs; the names are `Backend::name`'s).
set -euo pipefail
cd "$(dirname "$0")/.."
# libgomp's barriers spin; beside other work two threads are slower than one.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
log=$(mktemp)
skips=$(mktemp)
trap 'rm -f "$log" "$skips"' EXIT
export DREAMSTEP_SKIPPED=$skips
# The steps that failed: a build that does not pass has no test to count.
failed=()
# What comes next, and how many seconds all before it took.
step() { echo "== $* (at $SECONDS s)"; }
runtime_packages=(-p dreamstep-core -p dreamstep-runtime -p dreamstep-capi -p dreamstep-conformance -p dreamstep-fixtures)
runtime_features=dreamstep-core/host,dreamstep-fixtures/synthetic
case "${1:-all}" in
  # Every feature but dreamstep-bench/peers, which takes minutes to build (scripts/peers.sh).
  all) packages=(--workspace) features=$runtime_features,dreamstep-conformance/humanoid,dreamstep-bench/trainer ;;
  runtime) packages=("${runtime_packages[@]}") features=$runtime_features,dreamstep-conformance/humanoid ;;
  *) echo "usage: scripts/test.sh [runtime]" >&2; exit 2 ;;
esac
all() { [ "${packages[0]}" = --workspace ]; }

step "formatting"
cargo fmt --all --check
cargo fmt --check --manifest-path fuzz/Cargo.toml
step "dependency direction"
python3 scripts/dependencies.py
step "no link or path in the documents leads nowhere"
python3 scripts/links.py
step "clippy, no warnings"
cargo clippy --release --locked "${packages[@]}" --all-targets --features "$features" -- -D warnings
if all; then
  cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
  step "documentation, no warnings"
  RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --document-private-items
  step "set-up harms nothing that it is told to use"
  bash scripts/test_setup.sh
  step "a build without libtorch"
  bash scripts/test_light.sh 2>&1 | tee "$log" || failed+=("a build without libtorch")
fi
step "tests (release, the flags that ship)"
cargo test --release --locked "${packages[@]}" --features "$features" --no-fail-fast 2>&1 | tee -a "$log" || failed+=("tests")
if all; then
  step "what fuzzing found worth keeping"
  cargo test --locked --manifest-path fuzz/Cargo.toml 2>&1 | tee -a "$log" || failed+=("what fuzzing found")
  step "benches run"
  cargo bench --locked -p dreamstep-bench --bench runtime -- --test
fi
step "no panic in the control loop"
python3 scripts/no_panic.py
step "the shortest program runs"
cargo run --release --locked -q -p dreamstep-runtime --example hello_agent

# libtest has "ignored", with a reason, but calls a test that found out for itself that it cannot run passed.
sort -u -o "$skips" "$skips"
here=$(wc -l <"$skips")
sed -nE 's/^test (.*) \.\.\. ignored(, (.*))?$/\1: \3/p' "$log" >>"$skips"
count() { grep -E '^test result:' "$log" | sed -E "s/.* ([0-9]+) $1.*/\1/" | awk '{ n += $1 } END { print n + 0 }'; }
[ ! -s "$skips" ] || step "skipped"
sed 's/^/  /' "$skips"
echo
echo "tests: $(($(count passed) - here)) passed, $(count failed) failed, $(($(count ignored) + here)) skipped"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
