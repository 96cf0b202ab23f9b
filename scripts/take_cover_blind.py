#!/usr/bin/env python3
"""What who sees nothing survives in Take Cover: the baselines of docs/take_cover.md, as a Markdown table.

    third_party/doom/bin/python scripts/take_cover_blind.py [--episodes 100] [--seed 1000] [--skill 4] [--resolution 160x120] [--jobs 2] [--only NAME]

Episodes are those of seeds 1000, 1001, …, which `dreamstep evaluate` plays; what is random in a policy is drawn from the episode's seed.
"""

import argparse
import math
import multiprocessing
import statistics

import gymnasium
import numpy as np
import take_cover

# What the scenario was once called solved at, in tics.
SOLVED = 750


def still(rng):
    while True:
        yield 0.0


def every_tic(rng):
    while True:
        yield rng.uniform(-1, 1)


def held(most):
    """Uniform actions that are kept for 1 to `most` tics, as the paper collects."""

    def policy(rng):
        while True:
            action = rng.uniform(-1, 1)
            for _ in range(rng.integers(1, most + 1)):
                yield action

    return policy


def noise(scale, correlation):
    """`collect.policy = "noise"` (docs/training.md)."""

    def policy(rng):
        rho = math.exp(-1 / correlation)
        value = rng.normal()
        while True:
            yield min(max(scale * value, -1.0), 1.0)
            value = rho * value + math.sqrt(1 - rho * rho) * rng.normal()

    return policy


def sweep(tics, first):
    """`first` tics to the left, then `tics` to the right, as many to the left, and again."""

    def policy(rng):
        yield from [-1.0] * first
        yield from [1.0] * tics
        while True:
            yield from [-1.0] * tics
            yield from [1.0] * tics

    return policy


POLICIES = {
    "nothing": still,
    "random, every tic anew": every_tic,
    **{f"random, held for 1 to {most} tics": held(most) for most in (10, 30, 60)},
    **{f"noise of scale {scale}, correlation {correlation}": noise(scale, correlation) for scale in (0.5, 1.0) for correlation in (5, 10, 30, 60)},
    **{f"sweep, {tics} tics each way": sweep(tics, tics) for tics in (60, 70, 80, 85, 90, 95, 100, 105, 110, 115, 130, 150)},
    # A player begins in the middle: so it sweeps about the middle, not about a place to the left of it.
    **{f"sweep about the middle, {tics} tics each way": sweep(tics, tics // 2) for tics in (60, 80, 90, 100, 105, 110, 115, 120, 125, 130, 140, 150, 170)},
}


def play(job):
    """Tics that each episode lasted."""
    name, seeds, kwargs = job
    env = gymnasium.make("TakeCover-v0", disable_env_checker=True, **kwargs)
    survived = []
    for seed in seeds:
        env.reset(seed=seed)
        tics = 0
        for action in POLICIES[name](np.random.default_rng([seed, 1])):
            _, reward, terminated, truncated, _ = env.step(np.array([action], np.float32))
            tics += reward
            if terminated or truncated:
                break
        survived.append(tics)
    env.close()
    return survived


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000, help="of the first")
    parser.add_argument("--skill", type=int, default=4)
    parser.add_argument("--resolution", default="160x120", help="of what nobody looks at: a matter of speed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="policies whose name has this in it")
    asked = parser.parse_args()
    if asked.episodes < 2:
        parser.error(f"--episodes: expected 2 at least, found {asked.episodes}")
    names = [name for name in POLICIES if asked.only in name]
    if not names:
        parser.error(f"--only: expected part of one of {', '.join(POLICIES)}; found {asked.only!r}")
    seeds = list(range(asked.seed, asked.seed + asked.episodes))
    kwargs = {"skill": asked.skill, "resolution": asked.resolution}
    parts = [seeds[part :: asked.jobs] for part in range(asked.jobs)]
    print(f"| policy; skill {asked.skill}, {asked.episodes} episodes from seed {asked.seed} on | tics, mean ± s.e. | sd | median | most | {SOLVED} or more | all {take_cover.TIME_LIMIT} |")
    print("|---|---|---|---|---|---|---|")
    with multiprocessing.Pool(asked.jobs) as pool:
        for name in names:
            tics = [tics for part in pool.map(play, [(name, part, kwargs) for part in parts if part]) for tics in part]
            sd = statistics.stdev(tics)
            print(
                f"| {name} | {statistics.mean(tics):.0f} ± {sd / math.sqrt(len(tics)):.0f} | {sd:.0f} | {statistics.median(tics):.0f} | {max(tics):.0f} "
                f"| {sum(t >= SOLVED for t in tics)} | {sum(t >= take_cover.TIME_LIMIT for t in tics)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
