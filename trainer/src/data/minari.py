"""Reads a Minari dataset, in whichever storage, by Minari's own package, and writes its episodes to stdout: the far side of `minari.rs`.

    python -c PROGRAM id NAMESPACE/NAME-vN      one of Minari's local datasets
    python -c PROGRAM folder FOLDER             its folder `data`

A frame is one byte that says what it is, its length as a little-endian u64, and so many bytes:

    S   what the data are of, as JSON: once, first
    E   an episode as .npz, flat: observations [T+1, O] (or [T+1, h, w, c] bytes), actions [T, A] or numbers of choices [T], rewards, terminations, truncations [T]
    X   why there is no more, as one line of text
    .   there is no more
"""

import io
import json
import os
import signal
import struct
import sys

# Ctrl-C is the owner's to speak of.
signal.signal(signal.SIGINT, signal.SIG_DFL)

# What libraries print must not come between frames.
OUT = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


class Refused(Exception):
    pass


def frame(kind, payload):
    OUT.write(kind + struct.pack("<Q", len(payload)) + payload)
    OUT.flush()


def length(space):
    import numpy

    return int(numpy.prod(space.shape))


def one_hot(values, start, counts):
    """Integers [T, n], each with as many numbers as it has choices, of which one is 1."""
    import numpy

    chosen = values.astype("int64") - start
    if ((chosen < 0) | (chosen >= counts)).any():
        raise Refused(f"expected choices below {counts.tolist()} from {start.tolist()} on, found others")
    return numpy.concatenate([numpy.eye(count)[chosen[:, i]] for i, count in enumerate(counts)], axis=1)


def leaves(spaces, space, values, names, what):
    """Name, space and array [T, …] of each part that has no parts, in the order of `gymnasium.spaces.flatten`."""
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from leaves(spaces, inner, values[key], [*names, str(key)], what)
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from leaves(spaces, inner, values[index], [*names, str(index)], what)
    elif isinstance(space, (spaces.Box, spaces.MultiBinary, spaces.Discrete, spaces.MultiDiscrete)):
        yield ".".join(names) or what, space, values
    else:
        known = "Box, Discrete, MultiBinary, MultiDiscrete, or Dict or Tuple of these"
        name = f" `{'.'.join(names)}`" if names else ""
        raise Refused(f"{what} space{name}: expected {known}, found {type(space).__name__}")


def is_picture(parts):
    """Whether an observation is one array of bytes, [h, w] or [h, w, c] of 1 to 4 channels: it stays that."""
    ((_, space, _), *others) = parts
    shape = tuple(getattr(space, "shape", None) or ())
    return not others and space.dtype == "uint8" and len(shape) in (2, 3) and 1 <= (*shape, 1)[2] <= 4 and min(shape) > 0


def flat(spaces, space, values):
    """An array [T, n] of numbers."""
    import numpy

    values = numpy.asarray(values)
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        counts = numpy.ravel(space.n if hasattr(space, "n") else space.nvec)
        return one_hot(values.reshape(len(values), counts.size), numpy.ravel(space.start), counts)
    return values.reshape(len(values), length(space))


class Actions:
    """Actions as `Bridge` has them: one of some choices is its number, where it is alone, else scores of which the greatest wins; a switch
    is on above 0."""

    def __init__(self, spaces, space, first):
        self.spaces, self.space = spaces, space
        if isinstance(space, spaces.Discrete):
            self.spec = {"choices": int(space.n)}
            return
        self.spec = {"action": []}
        for _, part, values in leaves(spaces, space, first, [], "action"):
            if isinstance(part, spaces.Box):
                bounds = zip(part.low.ravel().tolist(), part.high.ravel().tolist())
            else:
                bounds = [(-1.0, 1.0)] * flat(spaces, part, values).shape[1]
            for low, high in bounds:
                finite = abs(low) < 1e30 and abs(high) < 1e30
                self.add(*((low, high) if finite else (None, None)))

    def add(self, low, high):
        parts = self.spec["action"]
        if parts and parts[-1][1:] == [low, high]:
            parts[-1][0] += 1
        else:
            parts.append([1, low, high])

    def of(self, values):
        import numpy

        spaces, space = self.spaces, self.space
        if isinstance(space, spaces.Discrete):
            return numpy.asarray(values).reshape(-1).astype("int64") - int(space.start)
        parts = []
        for _, part, array in leaves(spaces, space, values, [], "action"):
            numbers = flat(spaces, part, array)
            parts.append(numbers if isinstance(part, spaces.Box) else 2.0 * numbers - 1.0)
        return numpy.concatenate(parts, axis=1)


def dataset(minari, kind, name):
    if kind == "folder":
        return minari.MinariDataset(name)
    from minari.storage.datasets_root_dir import get_dataset_path

    place = os.path.join(get_dataset_path(name), "data")
    if not os.path.isdir(place):
        raise Refused(f"expected a dataset in {place}, found none; `minari download {name}` fetches it")
    return minari.load_dataset(name)


def main(kind, name):
    import minari  # first: it brings the others
    import numpy
    from gymnasium import spaces

    data = dataset(minari, kind, name)
    actions = None
    for episode in data.iterate_episodes():
        observed = list(leaves(spaces, data.observation_space, episode.observations, [], "observation"))
        picture = is_picture(observed)
        parts = [numpy.asarray(values) if picture else flat(spaces, space, values) for _, space, values in observed]
        if actions is None:
            actions = Actions(spaces, data.action_space, episode.actions)
            limit = data.env_spec.max_episode_steps if data.env_spec else None
            blocks = [[name, int(numpy.prod(part.shape[1:]))] for (name, _, _), part in zip(observed, parts)]
            image = [*parts[0].shape[1:], 1][:3] if picture else None
            frame(b"S", json.dumps({"observation": blocks, "image": image, "time_limit": limit or 0, **actions.spec}).encode())
        arrays = {
            "observations": parts[0] if picture else numpy.concatenate(parts, axis=1),
            "actions": actions.of(episode.actions),
            "rewards": numpy.asarray(episode.rewards),
            "terminations": numpy.asarray(episode.terminations),
            "truncations": numpy.asarray(episode.truncations),
        }
        seed = next(iter(data.storage.get_episode_metadata([episode.id]))).get("seed")
        if seed is not None:
            arrays["seed"] = numpy.int64(seed) if seed < 2**63 else numpy.uint64(seed)
        file = io.BytesIO()
        numpy.savez(file, **arrays)
        frame(b"E", file.getvalue())
    if actions is None:
        raise Refused("expected at least one episode, found none")
    frame(b".", b"")


try:
    main(*sys.argv[1:])
except BrokenPipeError:
    sys.exit(1)
except ImportError as error:
    text = " ".join(str(error).split())
    # Minari says itself what a storage needs.
    install = f"; {sys.executable} -m pip install 'minari[hdf5]'" if isinstance(error, ModuleNotFoundError) else ""
    frame(b"X", f"{sys.executable}: {text}{install}".encode())
except Refused as error:
    frame(b"X", str(error).encode())
except Exception as error:
    text = " ".join(str(error).split())
    frame(b"X", f"{type(error).__name__}: {text}".encode())
