"""The environments themselves."""

import os
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple

from . import faults


class Slide(gymnasium.Env):
    """A point on a line that drifts; it ends beyond ±1. `fault` happens in the `at`-th reset or step (`where`) of the process.

    The variable BRIDGE_FAULT = "fault:at" asks for one in a step, too: without a change of the configuration. With ":once" after it, of all
    processes one has it: that which makes the file BRIDGE_READY.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    observation_space = Box(-10, 10, (3,), np.float64)
    action_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, fault="", where="step", at=1, drift=0.02, render_mode=None):
        self.fault, self.where, self.at, self.drift = fault, where, at, drift
        self.render_mode, self.once = render_mode, False
        if os.environ.get("BRIDGE_FAULT"):
            self.fault, at, *once = os.environ["BRIDGE_FAULT"].split(":")
            self.where, self.at = "step", int(at)
            self.once = bool(once)
        self.count = {"reset": 0, "step": 0}

    def due(self, where):
        self.count[where] += 1
        due = bool(self.fault) and where == self.where and self.count[where] == self.at
        return due and not (self.once and os.path.exists(os.environ["BRIDGE_READY"]))

    def observe(self):
        return np.array([self.x, self.v, np.sin(self.x)])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        due = self.due("reset")
        sound = due and faults.happen(self.fault)
        self.x, self.v = self.np_random.uniform(-0.2, 0.2, 2)
        result = self.observe(), {}
        return faults.of_reset(self.fault, result) if due and not sound else result

    def step(self, action):
        due = self.due("step")
        sound = due and faults.happen(self.fault)
        self.v += 0.1 * float(action[0]) + self.drift
        self.x += 0.1 * self.v
        result = self.observe(), 1.0 - self.x * self.x, bool(abs(self.x) > 1), False, {}
        return faults.of_step(self.fault, result) if due and not sound else result

    def render(self):
        picture = np.full((60, 90, 3), 40, np.uint8)
        column = int(np.clip(45 + 40 * self.x, 0, 89))
        picture[:, column] = 255
        return picture


OBSERVATIONS = {
    "box": Box(-1, 1, (4,), np.float32),
    "box-f64": Box(-1, 1, (2, 3), np.float64),
    "box-f16": Box(-1, 1, (3,), np.float16),
    "box-i32": Box(-7, 9, (2, 2), np.int32),
    "box-i64": Box(-7, 9, (), np.int64),
    "bytes": Box(0, 255, (5,), np.uint8),
    "grey": Box(0, 255, (6, 4), np.uint8),
    "grey-1": Box(0, 255, (6, 4, 1), np.uint8),
    "rgb": Box(0, 255, (6, 4, 3), np.uint8),
    "rgba": Box(0, 255, (6, 4, 4), np.uint8),
    "planes": Box(0, 255, (3, 6, 5), np.uint8),
    "discrete": Discrete(5),
    "discrete-start": Discrete(4, start=-2),
    "binary": MultiBinary(3),
    "binary-2d": MultiBinary([2, 3]),
    "choices": MultiDiscrete([2, 3, 4]),
    "choices-2d": MultiDiscrete([[2, 3], [4, 2]], start=[[1, -1], [0, 5]]),
    "dict": Dict({"velocity": Box(-1, 1, (2,), np.float32), "arm": Dict({"angle": Box(-3, 3, (), np.float64), "on": Discrete(2)})}),
    "tuple": Tuple([MultiBinary(2), Dict({"b": Discrete(3, start=1), "a": MultiDiscrete([2, 2])}), Box(0, 9, (2, 2), np.int64)]),
    "single-key": Dict({"image": Box(0, 255, (4, 4, 3), np.uint8)}),
    "text": Text(4),
    "graph": Graph(Box(-1, 1, (2,)), None),
    "sequence": Dict({"seen": Sequence(Discrete(3))}),
    "one-of": Tuple([OneOf([Discrete(2), Discrete(3)])]),
    "empty": Box(-1, 1, (0,)),
}

ACTIONS = {
    "box": Box(np.float32([-2, 0]), np.float32([1, 3]), dtype=np.float32),
    "box-f64": Box(-0.1, 0.3, (2, 2), np.float64),
    "box-i8": Box(-3, 4, (2,), np.int8),
    "box-u8": Box(0, 255, (2,), np.uint8),
    "unbounded": Box(-np.inf, np.inf, (2,), np.float32),
    "half": Box(np.float32([0, -np.inf]), np.float32([np.inf, 1]), dtype=np.float32),
    "huge": Box(-3.4e38, 3.4e38, (1,), np.float32),
    "any-integer": Box(-np.inf, np.inf, (1,), np.int64),
    "discrete": Discrete(3),
    "discrete-start": Discrete(3, start=7),
    "binary": MultiBinary(3),
    "binary-2d": MultiBinary([2, 2]),
    "choices": MultiDiscrete([2, 3]),
    "choices-2d": MultiDiscrete([[2, 3], [2, 2]], start=[[1, -1], [0, 5]]),
    "dict": Dict({"grip": Discrete(2, start=1), "arm": Box(-1, 2, (2,), np.float32)}),
    "tuple": Tuple([MultiBinary(1), Dict({"x": MultiDiscrete([2, 2])}), Box(0, 9, (), np.int32)]),
    "text": Text(4),
    "sequence": Tuple([Sequence(Discrete(3))]),
    "one-of": Dict({"how": OneOf([Discrete(2), Discrete(3)])}),
}


class Spaces(gymnasium.Env):
    """Observations are samples of a space, by the seed."""

    metadata = {"render_fps": 10}
    action_space = Discrete(2)

    def __init__(self, observation="box"):
        self.observation_space = OBSERVATIONS[observation]

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed % 2**32)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1, np.bool_(False), False, {}


class Echo(gymnasium.Env):
    """What is done is what is seen, as Gymnasium flattens it. An action that is no member of the space, of the very type, is an error."""

    metadata = {"render_fps": 10}

    def __init__(self, action="box"):
        self.action_space = ACTIONS[action]
        length = gymnasium.spaces.flatdim(self.action_space) if self.action_space.is_np_flattenable else 1
        self.observation_space = Box(-np.inf, np.inf, (length,), np.float64)

    def reset(self, seed=None, options=None):
        self.kept = []
        return np.zeros(self.observation_space.shape), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        sample = self.action_space.sample()
        assert type(action) is type(sample) and getattr(action, "dtype", None) == getattr(sample, "dtype", None), repr(action)
        # What an environment keeps must not change under it.
        flat = gymnasium.spaces.flatten(self.action_space, action).astype(np.float64)
        self.kept.append((action, flat))
        for then, flattened in self.kept:
            assert (gymnasium.spaces.flatten(self.action_space, then) == flattened).all(), "an action changed"
        return flat, float(len(self.kept)), False, False, {}


class Nothing(gymnasium.Env):
    """Does nothing: what is left is the bridge's own time."""

    metadata = {"render_fps": 10}
    action_space = Box(-1, 1, (3,), np.float32)

    def __init__(self, image=False):
        shape, dtype = ((96, 96, 3), np.uint8) if image else ((8,), np.float32)
        self.observation_space = Box(0, 255 if image else 1, shape, dtype)
        self.result = np.zeros(shape, dtype), 1.0, False, False, {}

    def reset(self, seed=None, options=None):
        return self.result[0], {}

    def step(self, action):
        return self.result


class Busy(Nothing):
    """Computes for `us` microseconds of processor time in every step."""

    def __init__(self, us=500.0):
        super().__init__()
        self.seconds = us * 1e-6

    def step(self, action):
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return self.result


class Endless(Nothing):
    """Says neither how long an episode nor how long a step is."""

    metadata = {}
