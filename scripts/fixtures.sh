#!/usr/bin/env bash
# Makes the shipped agent anew with the project's own commands, from the preset that `make demo` runs, and puts it into
# fixtures/data. Trained files are not bit-equal across machines or library versions; the README there says what is.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${RUN:-runs/fixture}
cargo build --release --locked -p dreamstep
dreamstep=target/release/dreamstep
"$dreamstep" collect --run "$run" --preset quick
"$dreamstep" train --run "$run" --stage all
"$dreamstep" pack --run "$run" --out fixtures/data/humanoid.safetensors
"$dreamstep" evaluate --agent fixtures/data/humanoid.safetensors --baselines
