"""What Gymnasium itself does, for the bridge's tests to compare with.

    bridge_reference.py JOBS        JSON: [{"id", "kwargs", "seeds", "steps"}, ...]

For each seed: resets with it, takes `steps` random actions, and goes on with seed + 1, + 2, ... whenever an episode ends. Observations
are flattened by Gymnasium. For each job writes to stdout, little-endian:

    length   u64, bytes that follow for this job
    header   u64 O, u64 A
    reset    'R', u64 seed, f64 observation[O]
    step     'S', f32 action[A], f64 observation[O], f64 reward, u8 terminated, u8 truncated
    end      'E'
"""

import json
import struct
import sys
import warnings

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, flatdim, flatten

warnings.filterwarnings("ignore")
gymnasium.logger.min_level = gymnasium.logger.ERROR


def play(id, kwargs, seeds, steps):
    env = gymnasium.make(id, **kwargs)
    space = env.action_space
    if isinstance(space, Discrete):
        draw = lambda rng: np.float32([rng.integers(space.n)])
        act = lambda numbers: space.start + np.int64(numbers[0])
    else:
        assert isinstance(space, Box)
        draw = lambda rng: rng.uniform(space.low, space.high).astype(np.float32)
        act = lambda numbers: numbers.astype(space.dtype)
    out = bytearray(struct.pack("<QQ", flatdim(env.observation_space), 1 if isinstance(space, Discrete) else space.low.size))
    observed = lambda observation: flatten(env.observation_space, observation).astype(np.float64).tobytes()
    for seed in seeds:
        rng, episode, over = np.random.default_rng([seed, 7]), seed, True
        for _ in range(steps):
            if over:
                out += b"R" + struct.pack("<Q", episode) + observed(env.reset(seed=episode)[0])
                episode += 1
            numbers = draw(rng)
            observation, reward, terminated, truncated, _ = env.step(act(numbers))
            out += b"S" + numbers.tobytes() + observed(observation) + struct.pack("<d??", reward, terminated, truncated)
            over = terminated or truncated
    return bytes(out + b"E")


for job in json.loads(sys.argv[1]):
    answer = play(**job)
    sys.stdout.buffer.write(struct.pack("<Q", len(answer)) + answer)
