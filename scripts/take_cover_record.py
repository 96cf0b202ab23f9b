#!/usr/bin/env python3
"""Records Take Cover for `dreamstep import`: what blind players meet who sweep, dodge, stand and stray by turns (docs/take_cover.md).

    PYTHONPATH=third_party/python third_party/doom/bin/python scripts/take_cover_record.py FOLDER [--steps 380000] [--seed 5000000]

`collect.policy = "noise"` dies young, in half the time of a sweep, and so shows few fireballs at once; who only sweeps shows nothing of standing
still. A third of the steps each: sweeps with legs drawn anew and sudden dodges, noise, and turns of both with standing still and stepping to and fro.
Frames are prepared as the preset's `[env.image]` has it (Pillow is among what `make setup` installs); an episode is a file.
"""

import argparse
import itertools
import math
import pathlib

import gymnasium
import numpy as np
import take_cover
from PIL import Image

# Of the preset: `[env.kwargs]` and `[env.image]`, whose crop is top, left, height, width.
SKIP = 4
RESOLUTION = "160x120"
CROP = (38, 0, 48, 160)
SIZE = (24, 80)


def noise(rng, correlation=10 / SKIP):
    """`collect.policy = "noise"` (docs/training.md)."""
    rho = math.exp(-1 / correlation)
    value = rng.normal()
    while True:
        yield min(max(value, -1.0), 1.0)
        value = rho * value + math.sqrt(1 - rho * rho) * rng.normal()


def sweep(rng):
    """From side to side about the middle, 60 to 150 tics each way, now and then with a few steps of anything."""
    side, part = rng.choice([-1.0, 1.0]), 0.5
    while True:
        for _ in range(int(rng.uniform(60, 150) / SKIP * part)):
            if rng.random() < 0.03:
                yield from [rng.uniform(-1, 1)] * rng.integers(1, 8)
            yield side * rng.uniform(0.4, 1.0)
        side, part = -side, 1.0


def still(rng):
    while True:
        yield rng.uniform(-take_cover.THRESHOLD, take_cover.THRESHOLD)


def to_and_fro(rng):
    leg, side = rng.integers(3, 14), rng.choice([-1.0, 1.0])
    while True:
        for _ in range(leg):
            yield side * rng.uniform(0.4, 1.0)
        side = -side


def turns(rng):
    ways = [sweep, noise, still, to_and_fro]
    while True:
        way = ways[rng.choice(4, p=[0.4, 0.25, 0.15, 0.2])]
        steps = int(rng.uniform(8, 60)) // (2 if way is still else 1)
        yield from itertools.islice(way(rng), steps)


def prepared(frame):
    top, left, height, width = CROP
    part = Image.fromarray(frame).crop((left, top, left + width, top + height))
    return np.asarray(part.resize(SIZE[::-1], Image.Resampling.BILINEAR))


def episode(env, policy, seed):
    frame, _ = env.reset(seed=seed)
    frames, actions, rewards, dead = [prepared(frame)], [], [], False
    limit = take_cover.TIME_LIMIT // SKIP
    for action in itertools.islice(policy(np.random.default_rng([seed, 7])), limit):
        frame, reward, dead, _, _ = env.step(np.array([action], np.float32))
        frames.append(prepared(frame))
        actions.append([action])
        rewards.append(reward)
        if dead:
            break
    last = np.arange(len(actions)) == len(actions) - 1
    return {
        "observations": np.stack(frames),
        "actions": np.array(actions, np.float32),
        "rewards": np.array(rewards, np.float32),
        "terminals": last & dead,
        "truncations": last & (not dead),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=380_000)
    parser.add_argument("--seed", type=int, default=5_000_000, help="of the first episode")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    env = gymnasium.make("TakeCover-v0", disable_env_checker=True, resolution=RESOLUTION, skip=SKIP)
    steps = {policy: 0 for policy in (sweep, noise, turns)}
    for number in itertools.count():
        if sum(steps.values()) >= asked.steps:
            break
        policy = min(steps, key=steps.get)
        recorded = episode(env, policy, asked.seed + number)
        steps[policy] += len(recorded["actions"])
        np.savez_compressed(asked.folder / f"{number:06}.npz", **recorded)
    env.close()
    print(f"{number} episodes, {sum(steps.values())} steps")


if __name__ == "__main__":
    main()
