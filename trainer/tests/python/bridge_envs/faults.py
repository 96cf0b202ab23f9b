"""Everything that an environment can do wrong, by name."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np

# What happens in place of a reset or a step.


def happen(fault):
    """True where nothing of a result is wrong. The file that the variable BRIDGE_READY names is there once it begins."""
    if os.environ.get("BRIDGE_READY"):
        open(os.environ["BRIDGE_READY"], "w").close()
    if fault == "raise":
        raise ValueError("the arm\nis broken")
    elif fault == "sysexit":
        sys.exit("tired")
    elif fault == "exit":
        print("going home", file=sys.stderr, flush=True)
        os._exit(3)
    elif fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "crash":
        ctypes.string_at(0)
    elif fault == "hang":
        time.sleep(10_000)
    elif fault == "hang-in-c":
        # A library of Python's own kind keeps the interpreter's lock.
        ctypes.PyDLL(None).sleep(10_000)
    elif fault == "deaf":
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(one, signal.SIG_IGN)
        ctypes.PyDLL(None).sleep(10_000)
    elif fault == "slow":
        time.sleep(0.05)
        return True
    elif fault == "flood":
        for stream in (sys.stdout, sys.stderr, sys.__stdout__):
            stream.write("drop\n" * 400_000)
            stream.flush()
        os.write(1, b"!" * 100_000)
        return True
    elif fault == "read":
        assert sys.stdin.read() == ""
        return True
    elif fault == "garbage":
        for fd in sockets():
            os.write(fd, np.random.default_rng(5).bytes(40))
        time.sleep(10_000)
    elif fault == "half":
        # The header of an answer, and nothing after it.
        for fd in sockets():
            os.write(fd, (1000).to_bytes(4, "little") + bytes(20))
        os._exit(0)
    elif fault == "close":
        for fd in sockets():
            os.close(fd)
        time.sleep(10_000)
    elif fault in ("offspring", "offspring-deaf"):
        # A child of one's own, one that leaves the group, and one whose parent is gone.
        sleep = [sys.executable, "-c", "import time; time.sleep(10_000)"]
        subprocess.Popen(sleep)
        subprocess.Popen(sleep, start_new_session=True)
        subprocess.run(["sh", "-c", 'setsid "$@" & exit 0', "sh", *sleep], check=True)
        return fault == "offspring" or happen("deaf")
    else:
        return False
    raise AssertionError(f"{fault}: survived")


def sockets():
    for fd in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                yield fd
        except OSError:
            pass


# What is wrong with a result.


def of_step(fault, result):
    observation, reward, terminated, truncated, info = result
    whole = {
        "four": (observation, reward, terminated, info),
        "list": list(result),
        "none": None,
        "reward-text": (observation, "much", terminated, truncated, info),
        "reward-array": (observation, np.zeros(2), terminated, truncated, info),
        "reward-none": (observation, None, terminated, truncated, info),
        "reward-nan": (observation, float("nan"), terminated, truncated, info),
        "flag-int": (observation, reward, 0, truncated, info),
        "flag-none": (observation, reward, terminated, None, info),
        "info-none": (observation, reward, terminated, truncated, None),
    }
    return whole[fault] if fault in whole else (of_observation(fault, observation), reward, terminated, truncated, info)


def of_reset(fault, result):
    observation, info = result
    whole = {"one": observation, "three": (observation, 0.0, info), "no-info": (observation, None)}
    return whole[fault] if fault in whole else (of_observation(fault, observation), info)


def of_observation(fault, observation):
    if fault == "shape":
        return observation[:, None]
    if fault == "short":
        return observation[:-1]
    if fault == "nan":
        return np.where(np.arange(observation.size) == 1, np.nan, observation)
    if fault == "text":
        return ["x"] * observation.size
    if fault == "ragged":
        return [[1.0], [1.0, 2.0]]
    if fault == "object":
        return np.array([None] * observation.size)
    if fault == "nothing":
        return None
    raise AssertionError(f"no such fault: {fault}")
