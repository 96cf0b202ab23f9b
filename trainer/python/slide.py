"""A slide on a spring, pushed by a motor: a robot that is only known by its logs, for docs/logs.md. Wants numpy.

    python3 slide.py log FOLDER                   writes FOLDER/00.npz …: 60 episodes of a hand that pulls it to a target, badly
    python3 slide.py log FOLDER LIBRARY AGENT     20 episodes of the packed AGENT, by the C LIBRARY (libdreamstep_capi.so)
    python3 slide.py drive LIBRARY AGENT          the agent drives it, and then the hand, from the same starts

Observed: position (m), velocity (m/s), target (m). Done: one force (N). Earned: less the further it is from the target.
"""

import ctypes
import os
import pathlib
import sys

import numpy as np

PERIOD_S, STEPS, FORCE = 0.05, 100, 6.0


class Slide:
    """One kilogram on a spring of 4 N/m with some friction."""

    def __init__(self, seed):
        self.chance = np.random.default_rng(seed)
        self.position, self.velocity, self.target = self.chance.uniform([-1.0, -1.0, -1.0], [1.0, 1.0, 1.0])

    def observe(self):
        sensors = self.chance.normal(scale=[0.002, 0.01])
        return np.array([self.position + sensors[0], self.velocity + sensors[1], self.target], np.float32)

    def step(self, force):
        force = float(np.clip(force, -FORCE, FORCE))
        for _ in range(10):
            self.velocity += PERIOD_S / 10 * (force - 4.0 * self.position - 0.4 * self.velocity)
            self.position += PERIOD_S / 10 * self.velocity
        return -((self.position - self.target) ** 2) - 0.001 * force**2


class Hand:
    """Pulls towards the target, too weakly, and trembles."""

    def __init__(self, seed):
        self.chance, self.tremble = np.random.default_rng(10_000 + seed), 0.0

    def act(self, observation):
        position, velocity, target = observation
        self.tremble = 0.8 * self.tremble + self.chance.normal(scale=1.5)
        return 3.0 * (target - position) - 0.2 * velocity + self.tremble


class Agent:
    """The packed agent, by the C library: the loop of any robot."""

    def __init__(self, library, path):
        self.lib, self.file = ctypes.CDLL(library), pathlib.Path(path).read_bytes()
        sizes = self.lib.dreamstep_model_size, self.lib.dreamstep_agent_size
        self.model, self.agent = [(ctypes.c_uint64 * (size() // 8))() for size in sizes]
        self.must("model", "load", self.file, ctypes.c_size_t(len(self.file)), ctypes.c_int32(-1))
        lengths = [getattr(self.lib, f"dreamstep_model_{name}_len")(self.model) for name in ("memory", "obs", "action")]
        self.memory, self.observation, self.action = [(ctypes.c_float * length)() for length in lengths]
        self.must("model", "self_test", self.memory, ctypes.c_size_t(len(self.memory)))
        self.must("agent", "new", self.model, self.memory, ctypes.c_size_t(len(self.memory)))

    def must(self, noun, verb, *arguments):
        thing, line = getattr(self, noun), ctypes.create_string_buffer(256)
        if getattr(self.lib, f"dreamstep_{noun}_{verb}")(thing, *arguments) != 0:
            getattr(self.lib, f"dreamstep_{noun}_error")(thing, line, ctypes.c_size_t(256))
            sys.exit(line.value.decode())

    def begin(self):
        self.must("agent", "reset")
        return self.act

    def act(self, observation):
        self.observation[:] = observation.tolist()
        lengths = [ctypes.c_size_t(len(values)) for values in (self.observation, self.action)]
        self.must("agent", "act", self.observation, lengths[0], self.action, lengths[1])
        force = self.action[0]  # what the motor waits for: send it now
        self.must("agent", "advance")
        return force


def episode(seed, act):
    """Observations [T+1, 3], actions [T, 1], rewards [T]."""
    slide = Slide(seed)
    observations, actions, rewards = [slide.observe()], [], []
    for _ in range(STEPS):
        actions.append([np.clip(act(observations[-1]), -FORCE, FORCE)])
        rewards.append(slide.step(actions[-1][0]))
        observations.append(slide.observe())
    return np.array(observations), np.array(actions, np.float32), np.array(rewards, np.float32)


def log(folder, seeds, policy):
    os.makedirs(folder, exist_ok=True)
    for number, seed in enumerate(seeds):
        observations, actions, rewards = episode(seed, policy(seed))
        last = np.arange(STEPS) == STEPS - 1
        np.savez(
            os.path.join(folder, f"{number:02}.npz"),
            observations=observations,  # one more row than steps: where the last one led
            actions=actions,
            rewards=rewards,
            terminated=np.zeros(STEPS, bool),  # the task ended: here it never does
            truncated=last,  # the log stops
        )
    print(f"{len(seeds)} episodes of {STEPS} steps in {folder}")


def drive(library, path, count=20):
    agent, returns = Agent(library, path), {"agent": [], "hand": []}
    for seed in range(1000, 1000 + count):
        returns["agent"].append(episode(seed, agent.begin())[2].sum())
        returns["hand"].append(episode(seed, Hand(seed).act)[2].sum())
    for who, earned in returns.items():
        print(f"{who}: mean return {np.mean(earned):.1f} over {count} episodes of {STEPS} steps")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["log", folder]:
            log(folder, range(60), lambda seed: Hand(seed).act)
        case ["log", folder, library, path]:
            agent = Agent(library, path)
            log(folder, range(2000, 2020), lambda _: agent.begin())
        case ["drive", library, path]:
            drive(library, path)
        case _:
            sys.exit(__doc__)
