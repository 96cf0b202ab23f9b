"""What Gymnasium itself does, for gymnasium_parity.rs to compare with.

    gymnasium_reference.py JOB...        each job: ENV_ID STEPS SCALE RESET SEEDS

SEEDS is a comma-separated list. For each seed: resets with it, takes STEPS random actions, uniform in SCALE times the action
range. RESET = 1 starts a new episode (seed + 1, + 2, ...) whenever one ends; RESET = 0 steps on past the end. For each job
writes to stdout, little-endian:

    length   u64, bytes that follow for this job
    header   u64 O, u64 A, f64 dt_s, u64 time_limit, f32 low[A], f32 high[A]
    reset    'R', u64 seed, f64 observation[O]
    step     'S', f32 action[A], f64 observation[O], f64 reward, u8 terminated, u8 truncated, f64 x
    end      'E'

A choice of two is written as one action in [-1, 1] of which the sign counts. With ENV_ID "normals" the job is STEPS draws of
default_rng(seed).standard_normal() for each seed, f64, without header or end.
"""

import os
import struct
import sys
import warnings

# Before numpy: with AVX-512, OpenBLAS's dot product of three numbers is fused, and Pusher's and Reacher's rewards differ in the
# last bit from what Gymnasium gives on every other x86-64 machine.
os.environ["OPENBLAS_CORETYPE"] = "Nehalem"

import gymnasium
import numpy as np

warnings.filterwarnings("ignore")
gymnasium.logger.min_level = gymnasium.logger.ERROR


def position_x(env, info: dict) -> float:
    """Metres along x, where the task has it."""
    if "x_position" in info:
        return info["x_position"]
    if env.spec.id == "CartPole-v1":
        return env.unwrapped.state[0]
    if env.spec.id.startswith("Inverted"):
        return env.unwrapped.data.qpos[0]
    assert env.spec.id in ("Pusher-v5", "Reacher-v5")
    return 0.0


def episodes(env_id: str, steps: int, scale: float, reset: bool, seeds: list[int]) -> bytes:
    env = gymnasium.make(env_id)
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        assert (env.action_space.start, env.action_space.n) == (0, 2)
        low, high = -np.ones(1, np.float32), np.ones(1, np.float32)
        choose, dt_s = lambda action: int(action[0] >= 0), env.unwrapped.tau
    else:
        low, high = env.action_space.low, env.action_space.high
        choose, dt_s = lambda action: action, env.unwrapped.dt
    assert low.dtype == np.float32
    out = struct.pack("<QQdQ", env.observation_space.shape[0], low.size, dt_s, env.spec.max_episode_steps)
    out = bytearray(out + low.tobytes() + high.tobytes())

    def observe(observation: np.ndarray) -> bytes:
        assert observation.dtype == env.observation_space.dtype
        return observation.astype(np.float64).tobytes()

    for seed in seeds:
        actions = np.random.default_rng([seed, 7])
        episode, over = seed, True
        for _ in range(steps):
            if over:
                observation, _ = env.reset(seed=episode)
                out += b"R" + struct.pack("<Q", episode) + observe(observation)
                episode, over = episode + 1, False
            action = (scale * actions.uniform(low, high)).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(choose(action))
            out += b"S" + action.tobytes() + observe(observation)
            out += struct.pack("<dBBd", reward, terminated, truncated, position_x(env, info))
            over = reset and (terminated or truncated)
    return bytes(out + b"E")


def main(args: list[str]) -> None:
    for name, steps, scale, reset, seeds in zip(*[iter(args)] * 5, strict=True):
        steps, seeds = int(steps), [int(seed) for seed in seeds.split(",")]
        if name == "normals":
            draws = b"".join(np.random.default_rng(seed).standard_normal(steps).tobytes() for seed in seeds)
        else:
            draws = episodes(name, steps, float(scale), reset == "1", seeds)
        sys.stdout.buffer.write(struct.pack("<Q", len(draws)) + draws)


if __name__ == "__main__":
    main(sys.argv[1:])
