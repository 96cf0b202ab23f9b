"""What Gymnasium itself does, for gymnasium_parity.rs to compare with.

    gymnasium_reference.py ENV_ID STEPS SCALE RESET SEED...

For each SEED: resets with it, takes STEPS random actions, uniform in SCALE times the action range. RESET = 1 starts a new
episode (seed SEED + 1, + 2, ...) whenever one ends; RESET = 0 steps on past the end. Writes to stdout, little-endian:

    header   u64 O, u64 A, f64 dt_s, u64 time_limit, f32 low[A], f32 high[A]
    reset    'R', u64 seed, f64 observation[O]
    step     'S', f32 action[A], f64 observation[O], f64 reward, u8 terminated, u8 truncated, f64 x
    end      'E'
"""

import struct
import sys
import warnings

import gymnasium
import numpy as np

warnings.filterwarnings("ignore")
gymnasium.logger.min_level = gymnasium.logger.ERROR


def main(env_id: str, steps: int, scale: float, reset: bool, seeds: list[int]) -> None:
    out = sys.stdout.buffer
    env = gymnasium.make(env_id)
    low, high = env.action_space.low, env.action_space.high
    assert low.dtype == np.float32 and env.observation_space.dtype == np.float64
    out.write(struct.pack("<QQdQ", env.observation_space.shape[0], low.size, env.unwrapped.dt, env.spec.max_episode_steps))
    out.write(low.tobytes() + high.tobytes())
    for seed in seeds:
        actions = np.random.default_rng([seed, 7])
        episode, over = seed, True
        for _ in range(steps):
            if over:
                observation, _ = env.reset(seed=episode)
                out.write(b"R" + struct.pack("<Q", episode) + observation.tobytes())
                episode, over = episode + 1, False
            action = (scale * actions.uniform(low, high)).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation.dtype == np.float64
            out.write(b"S" + action.tobytes() + observation.tobytes())
            out.write(struct.pack("<dBBd", reward, terminated, truncated, info["x_position"]))
            over = reset and (terminated or truncated)
    out.write(b"E")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "1", [int(s) for s in sys.argv[5:]])
