#!/usr/bin/env bash
# CarRacing-v3 from pictures, from nothing to a table: a driver that sees the state is evolved, it teaches an agent of pictures, and that one, in i8, is
# judged in Gymnasium's own environment. It needs what `make setup` installs. Each step goes on from what an interrupted one left; the same command repeats it.
#
#     scripts/car_racing.sh [RUN]       (SEED=0, EPISODES=100; QUICK=1: a tenth of everything, to see that it works)
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/car_racing}
seed=${SEED:-0}
safe=14000000
driver=(--set seed="$seed")
pupil=(--set seed="$seed")
if [ -n "${QUICK:-}" ]; then
  safe=1000000
  driver+=(--set collect.steps=2000 --set controller.steps=800000)
  pupil+=(--set collect.steps=2000 --set vae.epochs=1 --set controller.lessons=4 --set controller.lesson_episodes=4)
fi

cargo build --release --locked -p dreamstep
dreamstep=target/release/dreamstep
# First fast over 8 seconds of road, then safe over whole laps, judged by enough episodes to see a rare crash: a pupil crashes where its driver does, and more
# often.
"$dreamstep" collect --run "$run/driver" --preset car_racing_driver "${driver[@]}"
"$dreamstep" train --run "$run/driver"
"$dreamstep" pack --run "$run/driver"
if [ ! -e "$run/safe/config.toml" ]; then
  mkdir -p "$run/safe"
  cp -r "$run"/driver/{rollouts,vae.safetensors,mdnrnn.safetensors} "$run/safe"
  cp "$run/driver/config.toml" "$run/safe"
fi
"$dreamstep" train --run "$run/safe" --stage controller --teacher "$run/driver/agent.safetensors" --set controller.lessons=0 \
  --set controller.max_episode_steps=0 --set controller.patience=100 --set controller.episodes=8 --set controller.sigma=0.04 \
  --set controller.validation_episodes=100 --set controller.steps="$safe"
"$dreamstep" pack --run "$run/safe"
"$dreamstep" rounds --run "$run/taught" --preset car_racing_taught --rounds 1 --teacher "$run/safe/agent.safetensors" \
  --episodes "${EPISODES:-100}" "${pupil[@]}"
"$dreamstep" pack --run "$run/taught/round-1" --precision i8 --episodes 0 --out "$run/agent.safetensors"
export PYTHONPATH=$PWD/third_party/python DREAMSTEP_PYTHON=${DREAMSTEP_PYTHON:-$PWD/third_party/venv/bin/python}
"$dreamstep" evaluate --agent "$run/agent.safetensors" --env gym:CarRacing-v3 --episodes "${EPISODES:-100}" --baselines
