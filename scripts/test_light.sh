#!/usr/bin/env bash
# The trainer without libtorch: no warnings, and a test of its binary; arguments add tests (`--lib`). In the same target folder as any
# build: only what depends on the feature is built once more. The binary that it leaves in target/release is the light one, until the next
# build.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy --release --locked -p dreamstep --no-default-features --all-targets -- -D warnings
cargo test --release --locked -p dreamstep --no-default-features --test light "$@"
