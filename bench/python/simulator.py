"""Steps one of Gymnasium's environments through recorded episodes, for bench/src/throughput/{simulator,racing}.rs to compare with.

Line 1 of standard input: {NAME: [{"seed": S, "actions": [[...], ...]}, ...], ...}, the recordings; the answer counts episodes.
--blind: CarRacing-v3 draws no picture, which is all but a hundredth of its time. Each line after it: a NAME. Every episode of that recording is played once from reset(seed), until it ends, and the answer is

    {"seconds": processor time, "steps": steps, "reward_bits": the bits of the sum of all rewards, added up in order}
"""

import argparse
import json
import struct
import sys
import time
import warnings

try:
    import gymnasium
    import numpy as np
except ImportError as error:
    print(json.dumps({"missing": str(error)}), flush=True)
    sys.exit()


def play(env, episodes) -> dict:
    total, steps = 0.0, 0
    start = time.process_time()
    for seed, actions in episodes:
        env.reset(seed=seed)
        for action in actions:
            _, reward, terminated, truncated, _ = env.step(action)
            total += reward
            steps += 1
            if terminated or truncated:
                break
        else:
            raise ValueError(f"seed {seed}: expected an episode of {len(actions)} steps, found one that goes on")
    seconds = time.process_time() - start
    return {"seconds": seconds, "steps": steps, "reward_bits": struct.unpack("<Q", struct.pack("<d", total))[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="Humanoid-v5")
    parser.add_argument("--blind", action="store_true")
    options = parser.parse_args()
    env = gymnasium.make(options.env)
    if options.blind:
        blank = np.zeros(env.observation_space.shape, env.observation_space.dtype)
        env.unwrapped._render = lambda mode: blank
    simulators = {"MuJoCo": "mujoco", "Box2D": "Box2D", "pygame-ce": "pygame"}
    used = [f"{name} {sys.modules[module].__version__}" for name, module in simulators.items() if module in sys.modules]
    version = ", ".join([f"Gymnasium {gymnasium.__version__}", *used, f"numpy {np.__version__}"])
    print(json.dumps({"version": version}), flush=True)
    recordings = {
        name: [(episode["seed"], np.array(episode["actions"], dtype=np.float32)) for episode in episodes]
        for name, episodes in json.loads(sys.stdin.readline()).items()
    }
    print(json.dumps(sum(len(episodes) for episodes in recordings.values())), flush=True)
    for line in sys.stdin:
        print(json.dumps(play(env, recordings[json.loads(line)])), flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    main()
