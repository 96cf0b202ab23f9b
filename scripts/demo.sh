#!/usr/bin/env bash
# The main job, end to end: record episodes, train V, M and C, pack them into one file, and run that file in the simulator.
# Each step goes on from what an interrupted one left. RUN names another folder; further arguments go to the stages,
# e.g. scripts/demo.sh --set controller.steps=2000000
set -euo pipefail
cd "$(dirname "$0")/.."
run=${RUN:-runs/demo}

cargo build --release --locked -p dreamstep
dreamstep=target/release/dreamstep
start=$SECONDS
"$dreamstep" collect --run "$run" --preset quick "$@"
"$dreamstep" train --run "$run" --stage all
trained=$((SECONDS - start))
"$dreamstep" pack --run "$run"
echo
"$dreamstep" run --agent "$run/agent.safetensors" --realtime
echo
"$dreamstep" evaluate --agent "$run/agent.safetensors" --baselines
echo
echo "collected and trained in $((trained / 60)) min $((trained % 60)) s; the agent is $run/agent.safetensors"
