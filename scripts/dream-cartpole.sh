#!/usr/bin/env bash
# How much of reality do dreams need? CartPole-v1, learnt in dreams alone from so many random steps: for each number of steps and each seed
# a run (collect, V, M, C, pack), and the return of 100 real episodes. Writes a markdown table to stdout, runs into FOLDER; what is there
# is left alone.
#
#     scripts/dream-cartpole.sh FOLDER [STEPS …]       (SEEDS="0 1 2 3 4", SET="key=value …")
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?expected a folder for the runs}; shift
counts=(${@:-2880 2280 1080 480})
seeds=(${SEEDS:-0 1 2 3 4})
settings=(); for pair in ${SET:-}; do settings+=(--set "$pair"); done
binary=${DREAMSTEP:-target/release/dreamstep}
[ -x "$binary" ] || { cargo build --release --locked -p dreamstep; binary=target/release/dreamstep; }

echo "| real steps | seed | return of 100 episodes | its dreams' score | wall, s | processor, s |"
echo "|---|---|---|---|---|---|"
for steps in "${counts[@]}"; do
    for seed in "${seeds[@]}"; do
        run=$folder/$steps-$seed
        [ ! -e "$run" ] || { echo "$run: expected a folder to be made, found one; name another FOLDER" >&2; exit 1; }
        begin=$(date +%s.%N)
        "$binary" collect --run "$run" --preset cartpole --set seed="$seed" --set collect.steps="$steps" "${settings[@]}" > /dev/null
        "$binary" train --run "$run" > "$run/train.log"
        "$binary" pack --run "$run" --episodes 0 > /dev/null
        end=$(date +%s.%N)
        "$binary" evaluate --agent "$run/agent.safetensors" --episodes 100 --seed 1000 --json > "$run/evaluation.json"
        python3 - "$run" "$begin" "$end" "$seed" <<'PYTHON'
import json, sys
run, begin, end, seed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
recorded = next(line["cost"]["steps"] for line in lines if line["stage"] == "collect" and "cost" in line)
looks = [line for line in lines if line.get("scored_on") == "dreams"]
processor = sum(line["cost"]["cpu_seconds"] for line in lines if "cost" in line)
agent = json.load(open(f"{run}/evaluation.json"))["rows"][-1]["return"]
print(f"| {recorded + looks[-1]['steps']} | {seed} | {agent['mean']:.1f} ± {agent['standard_error']:.1f} | "
      f"{looks[-1]['best_dream_score']:.1f} | {end - begin:.1f} | {processor:.1f} |", flush=True)
PYTHON
    done
done
