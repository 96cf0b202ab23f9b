#!/usr/bin/env bash
# Every house rule and every test, and how many tests there were. CI runs this first (.ci/run).
#
# Tests run every back end that the processor has. A machine that is there to test certain ones says so, and a missing one fails:
# DREAMSTEP_REQUIRE_BACKENDS=avx2,avx512 scripts/test.sh (runtime/tests/backends.rs; the names are `Backend::name`'s).
set -euo pipefail
cd "$(dirname "$0")/.."
# libgomp's barriers spin; beside other work two threads are slower than one.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
step() { echo "== $*"; }
# Every feature but dreamstep-bench/peers, which takes minutes to build (scripts/peers.sh).
features=dreamstep-core/host,dreamstep-fixtures/synthetic,dreamstep-conformance/humanoid,dreamstep-bench/trainer

step "formatting"
cargo fmt --all --check
cargo fmt --check --manifest-path fuzz/Cargo.toml
step "dependency direction"
python3 scripts/dependencies.py
step "clippy, no warnings"
cargo clippy --release --locked --workspace --all-targets --features "$features" -- -D warnings
cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
step "documentation, no warnings"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --document-private-items
step "set-up harms nothing that it is told to use"
bash scripts/test_setup.sh
step "a build without libtorch"
bash scripts/test_light.sh 2>&1 | tee "$log" || failed=1
step "tests (release, the flags that ship)"
cargo test --release --locked --workspace --features "$features" --no-fail-fast 2>&1 | tee -a "$log" || failed=1
step "what fuzzing found worth keeping"
cargo test --locked --manifest-path fuzz/Cargo.toml 2>&1 | tee -a "$log" || failed=1
step "benches run"
cargo bench --locked -p dreamstep-bench --bench runtime -- --test
step "no panic in the control loop"
python3 scripts/no_panic.py
step "the shortest program runs"
cargo run --release --locked -q -p dreamstep-runtime --example hello_agent

count() { grep -E '^test result:' "$log" | sed -E "s/.* ([0-9]+) $1.*/\1/" | awk '{ n += $1 } END { print n + 0 }'; }
echo
echo "tests: $(count passed) passed, $(count failed) failed, $(count ignored) skipped"
exit "${failed:-0}"
