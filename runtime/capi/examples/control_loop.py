#!/usr/bin/env python3
"""The same control loop in Python, on the shared library and the standard library alone.

Usage: control_loop.py libdreamstep_capi.so agent.safetensors
"""

import ctypes
import sys

library, path = sys.argv[1:]
lib, size = ctypes.CDLL(library), ctypes.c_size_t
with open(path, "rb") as file:
    data = file.read()
model, agent = ((ctypes.c_uint64 * (n // 8))() for n in (lib.dreamstep_model_size(), lib.dreamstep_agent_size()))


def must(noun: str, verb: str, *arguments: object) -> None:
    first, line = {"model": model, "agent": agent}[noun], ctypes.create_string_buffer(256)
    if lib[f"dreamstep_{noun}_{verb}"](first, *arguments) != 0:
        lib[f"dreamstep_{noun}_error"](first, line, size(256))
        sys.exit(line.value.decode())


must("model", "load", data, size(len(data)), ctypes.c_int32(-1))
lengths = (lib[f"dreamstep_model_{name}_len"](model) for name in ("memory", "obs", "action"))
memory, observation, action = ((ctypes.c_float * n)() for n in lengths)
must("model", "self_test", memory, size(len(memory)))
must("agent", "new", model, memory, size(len(memory)))
digest = ctypes.c_uint64()
observation[0], observation[1] = 1.4, 1.0  # the torso's height and orientation: standing upright
for tick in range(3):
    must("agent", "act", observation, size(len(observation)), action, size(len(action)))
    # the command goes out here
    must("agent", "advance")
    must("agent", "digest", ctypes.byref(digest))
    print(f"tick {tick}: first torque {action[0]:+.4f}, state {digest.value:016x}")
