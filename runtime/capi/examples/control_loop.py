#!/usr/bin/env python3
"""The same control loop in Python, on the shared library and the standard library alone.

Usage: control_loop.py libdreamstep_capi.so agent.safetensors
"""

import ctypes
import mmap
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_uint64


class Dims(ctypes.Structure):
    """dreamstep_dims"""

    _fields_ = [(name, c_uint32) for name in ("obs", "action", "latent", "hidden", "mixtures")]
    _fields_ += [("mixture", c_int32), ("encoder", c_uint32 * 2), ("cell", c_int32), ("input", c_int32)]


class Info(ctypes.Structure):
    """dreamstep_model_info"""

    _fields_ = [("dims", Dims), ("precision", c_int32), ("backend", c_int32), ("has_mdn", c_bool), ("fingerprint", c_uint64)]


def main(library: str, agent_file: str) -> None:
    lib = ctypes.CDLL(library)
    lib.dreamstep_memory_len.restype = lib.dreamstep_model_size.restype = lib.dreamstep_agent_size.restype = c_size_t
    lib.dreamstep_memory_len.argtypes = [POINTER(Dims)]
    lib.dreamstep_backend_name.restype = c_char_p
    message = ctypes.create_string_buffer(256)

    def call(name: str, *arguments: object) -> None:
        if lib[f"dreamstep_{name}"](*arguments, message, c_size_t(len(message))) != 0:
            raise RuntimeError(message.value.decode())

    def words(size: int) -> ctypes.Array:
        return (c_uint64 * (size // 8))()  # memory on an eight-byte boundary

    with open(agent_file, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    data = (ctypes.c_uint8 * len(mapped)).from_buffer(mapped)
    model, agent, info = words(lib.dreamstep_model_size()), words(lib.dreamstep_agent_size()), Info()
    call("model_load", model, data, c_size_t(len(data)), c_int32(-1))
    call("model_get_info", model, byref(info))
    memory = (c_float * lib.dreamstep_memory_len(byref(info.dims)))()
    call("self_test", model, memory, c_size_t(len(memory)))
    print(f"self-test passed on back end {lib.dreamstep_backend_name(info.backend).decode()}")

    call("agent_new", agent, model, memory, c_size_t(len(memory)))
    observation, action, digest = (c_float * info.dims.obs)(), (c_float * info.dims.action)(), c_uint64()
    observation[0] = 1.4  # the torso's height, standing
    observation[1] = 1.0  # and its orientation: upright
    for tick in range(3):
        call("act", agent, observation, c_size_t(len(observation)), action, c_size_t(len(action)))
        # the command goes out here
        call("advance", agent)
        call("digest", agent, byref(digest))
        print(f"tick {tick}: first torque {action[0]:+.4f}, state {digest.value:016x}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
