"""A Gymnasium environment behind a socket: the far side of `Bridge`, which starts it as `python -c`, with `spaces.py` before it.

Two processes. The one that was started is a small supervisor; the worker that it forks imports Gymnasium and has the environment.

    fd 0  both    requests and answers (worker)
    fd 1  both    the owner's word, `T` or `K`, or its end; the worker's wait status back (supervisor)
    fd 2  out     whatever either prints: the worker's fd 1 is turned into it before anything is imported

A hung worker, even one in C code with the GIL, dies with its owner, and whatever it has started dies with it.

A frame is little-endian: a header, and as many bytes as its first number says.

    request   u32 length, u32 number, u8 operation, 3 zeros
                START   JSON: what is asked for       RESET   u64 seed
                STEP    f32 action [A]                RENDER  nothing
    answer    u32 length, u32 number, f64 reward, u8 kind, u8 terminated, u8 truncated, 5 zeros
                SPEC    JSON: what there is           FAULT, REFUSAL   one line of text
                STATE   observation [O] in one dtype  PICTURE          u32 height, u32 width, RGB
"""

import _thread
import os
import signal
import struct
import sys
import time

PROTOCOL = 1
START, RESET, STEP, RENDER = range(4)
SPEC, STATE, PICTURE, FAULT, REFUSAL = range(5)
REQUEST, ANSWER = struct.Struct("<IIB3x"), struct.Struct("<IIdBBB5x")

# Seconds that a worker has to close its environment, once the owner has ended.
GRACE_S = 0.5
# Seconds that a worker has to write down where it hangs.
STACK_S = 0.2
# Seconds that what is killed has to be gone.
REAP_S = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def prctl(option, value):
    """Linux only; without it, processes that leave the worker's group are not found."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except Exception:
        pass


# ---------------------------------------------------------------------------------------------------------- the supervisor


def supervise(worker):
    """Ends when the worker has, with all that it started."""
    os.close(0)

    def watch():
        word = os.read(1, 1)
        if word == b"T":
            os.kill(worker, signal.SIGUSR1)
            time.sleep(STACK_S)
        elif word != b"K":
            time.sleep(GRACE_S)
        kill(os.killpg, worker)

    _thread.start_new_thread(watch, ())
    ended = 0
    while ended != worker:
        ended, status = os.wait()
    kill(os.killpg, worker)
    reap()
    try:
        os.write(1, struct.pack("<i", status))
    except OSError:
        pass


def kill(function, number):
    try:
        function(number, signal.SIGKILL)
    except OSError:
        pass


def reap():
    """Kills what the worker left: as the subreaper this process is its parent now."""
    end = time.monotonic() + REAP_S
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid():
                kill(os.kill, int(name))
        time.sleep(0.002)


# -------------------------------------------------------------------------------------------------------------- the worker


def told(error):
    """An exception in one line: what it says, and then the innermost places of its traceback."""
    import traceback

    said = short("".join(traceback.format_exception_only(type(error), error)))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != "<string>"]
    # Gymnasium's wrappers are around every step.
    own = [frame for frame in frames if not any(part in frame.filename for part in ("/gymnasium/core.py", "/gymnasium/wrappers/"))]
    places = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in (own or frames)[:-5:-1])
    return f"{said} (at {places})" if places else said


class Wire:
    """The worker's end of the socket."""

    def __init__(self, fd):
        self.fd = fd
        self.room(1 << 16)

    def room(self, length):
        self.buffer = bytearray(length)
        self.view = memoryview(self.buffer)

    def receive(self):
        """Operation, number, and a view of the payload that holds until the next call; nothing at the end."""
        got, need = os.readv(self.fd, (self.buffer,)), REQUEST.size
        while got:
            if got >= REQUEST.size:
                length, number, operation = REQUEST.unpack_from(self.buffer)
                need = REQUEST.size + length
                if got == need:
                    return operation, number, self.view[REQUEST.size : need]
                if need > len(self.buffer):
                    part = self.buffer[:got]
                    self.room(need)
                    self.view[:got] = part
            count = os.readv(self.fd, (self.view[got:need],))
            got = got + count if count else 0
        return None

    def send(self, frame):
        sent = os.write(self.fd, frame)
        while sent < len(frame):
            sent += os.write(self.fd, memoryview(frame)[sent:])

    def answer(self, kind, number, payload):
        self.send(ANSWER.pack(len(payload), number, 0.0, kind, 0, 0) + payload)


def work(supervisor):
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    # An environment finds neither socket where it reads and prints.
    wire = Wire(os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    import faulthandler

    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR1, 2, all_threads=False)

    environment = None
    while True:
        request = wire.receive()
        if request is None:
            break
        operation, number, payload = request
        try:
            if operation == STEP:
                wire.send(environment.step(number, payload))
            elif operation == RESET:
                wire.send(environment.reset(number, payload))
            elif operation == RENDER:
                wire.answer(PICTURE, number, environment.picture())
            elif operation == START:
                environment = Environment(bytes(payload))
                wire.answer(SPEC, number, environment.spec)
        except BrokenPipeError:
            break
        except Refused as refusal:
            wire.answer(REFUSAL, number, str(refusal).encode("utf-8", "replace"))
        except Wrong as wrong:
            wire.answer(FAULT, number, str(wrong).encode("utf-8", "replace"))
        except BaseException as error:
            doing = ("gymnasium.make", "reset", "step", "render")[operation]
            kind = REFUSAL if operation == START else FAULT
            wire.answer(kind, number, f"{doing} raised {told(error)}".encode("utf-8", "replace"))
    if environment is not None:
        environment.env.close()


class Environment:
    """A Gymnasium environment, and how its observations and actions lie in frames."""

    def __init__(self, request):
        import json

        asked = json.loads(request)
        if asked["protocol"] != PROTOCOL:
            raise Refused(f"expected bridge protocol {asked['protocol']}, found {PROTOCOL}")
        gymnasium, numpy = libraries()
        kwargs = {"disable_env_checker": True, **asked["kwargs"]}
        if asked["time_limit"]:
            kwargs["max_episode_steps"] = asked["time_limit"]
        if asked["pictures"]:
            kwargs["render_mode"] = "rgb_array"
        env = gymnasium.make(asked["id"], **kwargs)
        # Gymnasium's own wrapper takes an outcome apart before it can be looked at: the limit is kept here, as it keeps it.
        registered = env.spec
        self.steps, self.limit = 0, None
        if type(env) is gymnasium.wrappers.TimeLimit:
            self.limit, env = registered.max_episode_steps, env.env
        self.env = env
        low, high = asked["action_range"] or [None, None]
        self.decide, action = Actions(gymnasium.spaces, numpy, low, high).of(env.action_space)
        self.actions = numpy.dtype("<f4")
        leaves = list(observations(gymnasium.spaces, numpy, env.observation_space, []))
        length = sum(leaf.length for leaf in leaves)
        if length == 0:
            raise Refused(f"observation space {short(env.observation_space)}: expected at least one number, found none")
        dtypes = {leaf.dtype for leaf in leaves}
        own = dtypes.pop() if len(dtypes) == 1 else None
        dtype = own if own in ("float32", "float64", "uint8") else numpy.dtype("float64")
        # The answer to a reset or a step: one frame, filled in anew each time.
        self.frame = bytearray(ANSWER.size + length * dtype.itemsize)
        flat = numpy.frombuffer(self.frame, dtype.newbyteorder("<"), offset=ANSWER.size)
        end = 0
        for leaf in leaves:
            leaf.place(flat[end : end + leaf.length])
            end += leaf.length
        self.observe = leaves[0].write if len(leaves) == 1 and not leaves[0].path else self.composed(leaves)
        self.numpy = numpy
        self.spec = json.dumps(
            {
                "protocol": PROTOCOL,
                "versions": {
                    "python": ".".join(map(str, sys.version_info[:3])),
                    "gymnasium": gymnasium.__version__,
                    "numpy": numpy.__version__,
                },
                "id": registered.id,
                "time_limit": registered.max_episode_steps,
                "dt_s": seconds(env),
                "observation": [
                    {"name": leaf.name, "length": leaf.length, "kind": leaf.kind, "dtype": str(leaf.dtype), "shape": leaf.shape}
                    for leaf in leaves
                ],
                "image": image(leaves),
                "dtype": str(dtype),
                "action": action,
            }
        ).encode()

    @staticmethod
    def composed(leaves):
        """Writes an observation of a Dict or Tuple, leaf by leaf."""

        def write(observation):
            for leaf in leaves:
                value = observation
                for part in leaf.path:
                    value = part(value)
                leaf.write(value)

        return write

    def reset(self, number, payload):
        seed = int.from_bytes(payload, "little")
        outcome = self.env.reset(seed=seed)
        if not isinstance(outcome, tuple) or len(outcome) != 2:
            raise Wrong(f"reset: expected 2 values (observation, info), found {values(outcome)}")
        self.steps = 0
        return self.state(number, outcome[0], 0.0, False, False, outcome[1], "reset")

    def step(self, number, payload):
        outcome = self.env.step(self.decide(self.numpy.frombuffer(payload, self.actions)))
        if not isinstance(outcome, tuple) or len(outcome) != 5:
            raise Wrong(f"step: expected 5 values (observation, reward, terminated, truncated, info), found {values(outcome)}")
        observation, reward, terminated, truncated, info = outcome
        self.steps += 1
        if self.limit is not None and self.steps >= self.limit:
            truncated = True
        return self.state(number, observation, reward, terminated, truncated, info, "step")

    def state(self, number, observation, reward, terminated, truncated, info, doing):
        try:
            self.observe(observation)
        except Wrong as wrong:
            raise Wrong(f"{doing}: {wrong}") from None
        if type(reward) is not float:
            reward = self.real(reward)
        if type(terminated) is not bool:
            terminated = self.flag("terminated", terminated)
        if type(truncated) is not bool:
            truncated = self.flag("truncated", truncated)
        if not isinstance(info, dict):
            raise Wrong(f"{doing}: info: expected a dict, found {kind_of(info)}")
        ANSWER.pack_into(self.frame, 0, len(self.frame) - ANSWER.size, number, reward, STATE, terminated, truncated)
        return self.frame

    def flag(self, name, value):
        if isinstance(value, self.numpy.bool_):
            return bool(value)
        raise Wrong(f"step: {name}: expected True or False, found {kind_of(value)}")

    def real(self, reward):
        try:
            array = self.numpy.asarray(reward)
            if array.shape == () and array.dtype.kind in "iufb":
                return float(array)
        except Exception:
            pass
        raise Wrong(f"step: reward: expected a number, found {kind_of(reward)}")

    def picture(self):
        picture = self.env.render()
        if not isinstance(picture, self.numpy.ndarray) or picture.dtype != "uint8" or picture.shape[2:] != (3,):
            raise Wrong(f"render: expected an array of bytes, [height, width, 3], found {kind_of(picture)}")
        return struct.pack("<II", *picture.shape[:2]) + picture.tobytes()


def libraries():
    """Gymnasium and numpy, of versions that are known."""
    try:
        import numpy
    except ImportError as error:
        raise Refused(f"{sys.executable} cannot import numpy ({short(error)}): pip install numpy") from None
    try:
        import gymnasium
    except ImportError as error:
        raise Refused(f"{sys.executable} cannot import gymnasium ({short(error)}): pip install 'gymnasium>=1,<2'") from None
    if gymnasium.__version__.split(".")[0] != "1":
        raise Refused(f"{sys.executable}: expected gymnasium 1.x, found {gymnasium.__version__}: pip install 'gymnasium>=1,<2'")
    return gymnasium, numpy


def seconds(env):
    """Simulated seconds of a step, where the environment says so."""
    for value in (lambda: env.unwrapped.dt, lambda: 1 / env.metadata["render_fps"]):
        try:
            found = float(value())
        except Exception:
            continue
        if 0 < found < float("inf"):
            return found
    return None


def values(outcome):
    return f"{len(outcome)}" if isinstance(outcome, tuple) else kind_of(outcome)


def main():
    # Whatever outlives its parent becomes this process's child, and ends with it.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        return work(supervisor)
    try:
        os.setpgid(worker, worker)
    except OSError:
        pass
    supervise(worker)


if __name__ == "__main__":
    main()
