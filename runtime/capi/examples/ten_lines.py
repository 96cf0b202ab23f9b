#!/usr/bin/env python3
"""An agent in ten lines of Python: loads it, proves that this machine computes what its packer did, and runs a tick.

Usage: ten_lines.py libdreamstep_capi.so agent.safetensors
"""

import ctypes
import pathlib
import sys

lib, file = ctypes.CDLL(sys.argv[1]), pathlib.Path(sys.argv[2]).read_bytes()
model, agent = [(ctypes.c_uint64 * (size() // 8))() for size in (lib.dreamstep_model_size, lib.dreamstep_agent_size)]
assert lib.dreamstep_model_load(model, file, ctypes.c_size_t(len(file)), -1) == 0
sizes = [ctypes.c_size_t(getattr(lib, f"dreamstep_model_{name}_len")(model)) for name in ("memory", "obs", "action")]
memory, observation, action = [(ctypes.c_float * size.value)() for size in sizes]
assert lib.dreamstep_model_self_test(model, memory, sizes[0]) == 0
assert lib.dreamstep_agent_new(agent, model, memory, sizes[0]) == 0
assert lib.dreamstep_agent_act(agent, observation, sizes[1], action, sizes[2]) == 0
assert lib.dreamstep_agent_advance(agent) == 0
print(f"{action[0]:+.4f}")
