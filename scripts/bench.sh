#!/usr/bin/env bash
# Every program of the bench, and a dated record of what they found in bench/record. A quarter of an hour on
# a quiet machine, once what others have for the same step is built. PYTHON_WITH_TORCH names an interpreter that imports torch, to train
# beside PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive RAYON_NUM_THREADS=1
bash scripts/peers.sh --install
features=peers,trainer
cargo build --release --locked -p dreamstep-bench --features "$features" --bins

day=$(date +%F)
name=$day-$(git rev-parse --short HEAD)
work=target/bench/$name
mkdir -p "$work"
run() { # NAME PROGRAM ARGUMENTS: its tables on the terminal, its JSON in the work folder
  local result=$work/$1.json
  shift
  echo "== $*"
  "target/release/$1" "${@:2}" --json "$result"
  results+=("$result")
}
results=()
for size in humanoid small large; do run "roofline-$size" roofline --size "$size"; done
run roofline-gru roofline --cell gru
run peers peers
run tail tail --svg "bench/record/$name-tail.svg"
run throughput throughput ${PYTHON_WITH_TORCH:+--python "$PYTHON_WITH_TORCH"} all
target/release/record --date "$day" "${results[@]}" >"bench/record/$name.md"
echo "bench/record/$name.md"
