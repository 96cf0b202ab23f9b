#!/usr/bin/env bash
# Makes the shipped agents anew with the project's own commands, Humanoid's from the preset that `make demo` runs, and puts them into
# fixtures/data. Trained files are not bit-equal across machines or library versions; the README there says what is, and which two commands
# make the other two, in ten minutes and in an hour and a half of processor time.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${RUN:-runs/fixture}
cargo build --release --locked -p dreamstep
dreamstep=target/release/dreamstep
"$dreamstep" collect --run "$run" --preset quick
"$dreamstep" train --run "$run" --stage all
"$dreamstep" pack --run "$run" --out fixtures/data/humanoid.safetensors
"$dreamstep" evaluate --agent fixtures/data/humanoid.safetensors --baselines
cart_pole=$run-cartpole
"$dreamstep" collect --run "$cart_pole" --preset cartpole
"$dreamstep" train --run "$cart_pole" --stage all
"$dreamstep" pack --run "$cart_pole" --out fixtures/data/cartpole.safetensors
"$dreamstep" evaluate --agent fixtures/data/cartpole.safetensors --baselines
