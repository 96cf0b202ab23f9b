"""How the observations and actions of Gymnasium's spaces become flat numbers: the part of the bridge that knows spaces.

An observation is flattened as `gymnasium.spaces.flatten` does, into a frame that is there already; an action is made from numbers.
"""


class Wrong(Exception):
    """The environment broke Gymnasium's rules: what was expected and what was found."""


class Refused(Exception):
    """What is asked for cannot be had."""


def short(text, most=400):
    text = "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def kind_of(value):
    """A value by its type, and by its shape, dtype or text."""
    name = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{name} {list(value.shape)} of {value.dtype}"
    return f"{name} {short(repr(value), 60)}"


def image(leaves):
    """Height, width and channels, where an observation is one picture of bytes, alone or the one entry of a Dict or Tuple."""
    (leaf, *others) = leaves
    if others or leaf.kind != "Box" or leaf.dtype != "uint8":
        return None
    shape = [*leaf.shape, 1] if len(leaf.shape) == 2 else leaf.shape
    return list(shape) if len(shape) == 3 and 1 <= shape[2] <= 4 and min(shape) > 0 else None


# ------------------------------------------------------------------------------------------------------------ observations


class Leaf:
    """A space that is no Dict or Tuple: where it stands in an observation, and how it is written into a frame.

    The numbers are those of `gymnasium.spaces.flatten`.
    """

    def __init__(self, names, path, kind, length, dtype, shape):
        self.name = ".".join(names) or "observation"
        self.path = path
        self.kind, self.length, self.dtype, self.shape = kind, length, dtype, list(shape)

    def place(self, flat):
        """Where its numbers go."""
        self.flat = flat

    def wrong(self, expected, value):
        return Wrong(f"observation `{self.name}`: expected {expected}, found {kind_of(value)}")


class Array(Leaf):
    """Box, MultiBinary: the array itself, in C order."""

    def __init__(self, numpy, space, names, path):
        super().__init__(names, path, type(space).__name__, int(numpy.prod(space.shape)), space.dtype, space.shape)
        self.numpy, self.binary = numpy, self.kind == "MultiBinary"
        self.expected = tuple(space.shape)

    def place(self, flat):
        self.target = flat.reshape(self.expected)

    def write(self, value):
        array = value
        if type(array) is not self.numpy.ndarray:
            try:
                array = self.numpy.asarray(value)
            except Exception:
                array = None
            if array is None or array.dtype.kind not in "biuf":
                raise self.wrong(f"numbers of the shape {self.shape}", value)
        if array.shape != self.expected:
            raise self.wrong(f"the shape {self.shape}", value)
        if array.dtype != self.dtype:
            array = self.converted(array)
        if self.binary and not ((array == 0) | (array == 1)).all():
            raise self.wrong("zeros and ones", value)
        self.target[...] = array

    def converted(self, array):
        """In the space's own type, as Gymnasium has it; an integer must not change by that."""
        if array.dtype.kind not in "biuf":
            raise self.wrong(f"numbers of {self.dtype}", array)
        with self.numpy.errstate(all="ignore"):
            own = array.astype(self.dtype)
        if self.dtype.kind in "iub" and not (own == array).all():
            raise self.wrong(f"numbers of {self.dtype}", array)
        return own


class OneHot(Leaf):
    """Discrete, MultiDiscrete: for each choice as many numbers as it has, of which one is 1."""

    def __init__(self, numpy, space, names, path):
        self.numpy = numpy
        self.counts = numpy.asarray(space.n if hasattr(space, "n") else space.nvec, dtype="int64")
        self.start = numpy.asarray(space.start, dtype="int64")
        self.first = (numpy.cumsum(self.counts.ravel()) - self.counts.ravel()).reshape(self.counts.shape)
        super().__init__(names, path, type(space).__name__, int(self.counts.sum()), space.dtype, space.shape)

    def write(self, value):
        array = self.numpy.asarray(value)
        if array.shape != self.counts.shape or array.dtype.kind not in "biu":
            raise self.wrong(f"whole numbers of the shape {self.shape}" if self.shape else "a whole number", value)
        chosen = array - self.start
        if not ((chosen >= 0) & (chosen < self.counts)).all():
            raise self.wrong(f"from {short(self.start.tolist())} and fewer than {short(self.counts.tolist())} above", value)
        self.flat[:] = 0
        self.flat[self.first + chosen] = 1


def observations(spaces, numpy, space, names, path=()):
    """The leaves of an observation space, in the order of `gymnasium.spaces.flatten`."""
    if isinstance(space, spaces.Dict):
        keys = set(space.spaces)
        for key, inner in space.spaces.items():
            yield from observations(spaces, numpy, inner, [*names, str(key)], (*path, entry(names, keys, key)))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            part = element(names, len(space.spaces), index)
            yield from observations(spaces, numpy, inner, [*names, str(index)], (*path, part))
    elif isinstance(space, (spaces.Box, spaces.MultiBinary)):
        yield Array(numpy, space, names, path)
    elif isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        yield OneHot(numpy, space, names, path)
    else:
        raise refused("observation", space, names)


def entry(names, keys, key):
    def part(value):
        if not hasattr(value, "keys") or value.keys() != keys:
            found = f"the keys {short(sorted(map(str, value.keys())))}" if hasattr(value, "keys") else kind_of(value)
            raise Wrong(f"{at('observation', names)}: expected the keys {short(sorted(map(str, keys)))}, found {found}")
        return value[key]

    return part


def element(names, length, index):
    def part(value):
        if not isinstance(value, (tuple, list)) or len(value) != length:
            found = f"{len(value)}" if isinstance(value, (tuple, list)) else kind_of(value)
            raise Wrong(f"{at('observation', names)}: expected a tuple of {length}, found {found}")
        return value[index]

    return part


def at(what, names):
    return f"{what} `{'.'.join(names)}`" if names else what


def refused(what, space, names):
    known = "Box, Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of these"
    return Refused(f"{at(what + ' space', names)}: expected {known}, found {type(space).__name__}")


# ----------------------------------------------------------------------------------------------------------------- actions


class Actions:
    """How the numbers of an action [A] become what an action space has.

    A choice among n is n scores in [-1, 1], of which the greatest (the first of equals) wins; a switch is on above 0. Alone, a Discrete
    space is one number, 0 to n - 1.
    """

    def __init__(self, spaces, numpy, low, high):
        self.spaces, self.numpy, self.low, self.high = spaces, numpy, low, high

    def of(self, space):
        """The function, and what the owner has to know of the space."""
        if isinstance(space, self.spaces.Discrete):
            start, integer = int(space.start), space.dtype.type
            return lambda values: integer(start + int(values[0])), {"discrete": int(space.n)}
        count, decide, low, high = self.part(space, [])
        if count == 0:
            raise Refused(f"action space {short(space)}: expected at least one number, found none")
        return decide, {"low": low, "high": high}

    def part(self, space, names):
        """How many numbers it takes, the function, and its bounds."""
        spaces = self.spaces
        if isinstance(space, spaces.Box):
            return self.box(space, names)
        if isinstance(space, spaces.MultiBinary):
            count = int(self.numpy.prod(space.shape))
            decide = lambda values: (values > 0).astype(space.dtype).reshape(space.shape)
            return count, decide, [-1.0] * count, [1.0] * count
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            return self.choices(space)
        if isinstance(space, spaces.Dict):
            return self.joined(space.spaces.items(), dict, names)
        if isinstance(space, spaces.Tuple):
            return self.joined(enumerate(space.spaces), lambda pairs: tuple(value for _, value in pairs), names)
        raise refused("action", space, names)

    def box(self, space, names):
        numpy = self.numpy
        integer = space.dtype.kind in "iub"
        bounds = []
        for bound, bounded, stand_in, up in (
            (space.low, space.bounded_below, self.low, True),
            (space.high, space.bounded_above, self.high, False),
        ):
            # What binary32 cannot scale is no bound either.
            open_ = ~numpy.asarray(bounded) | (numpy.abs(bound.astype("float64")) > 1e30)
            if open_.any() and stand_in is None:
                raise Refused(
                    f"{at('action space', names)} {short(space, 100)}: expected finite bounds, found none; say env.action_range = [low, high], "
                    "or give the environment a bounded one by gymnasium.wrappers.RescaleAction"
                )
            exact = numpy.where(open_, stand_in or 0.0, bound.astype("float64"))
            # In binary32, and not outside.
            single = exact.astype("float32")
            outside = single < exact if up else single > exact
            single = numpy.where(outside, numpy.nextafter(single, numpy.float32("inf" if up else "-inf")), single)
            bounds.append(single.astype("float64").ravel())
        low, high = bounds
        if not (low <= high).all():
            raise Refused(f"{at('action space', names)} {short(space, 100)}: expected a range, found {low.tolist()} to {high.tolist()}")
        shape, dtype = space.shape, space.dtype

        def decide(values):
            values = values.reshape(shape)
            if integer:
                values = numpy.clip(numpy.rint(values.astype("float64")), space.low, space.high)
            return values.astype(dtype)

        return low.size, decide, low.tolist(), high.tolist()

    def choices(self, space):
        numpy = self.numpy
        counts = numpy.asarray(space.n if hasattr(space, "n") else space.nvec, dtype="int64")
        ends = numpy.cumsum(counts.ravel()).tolist()
        blocks = [slice(end - count, end) for end, count in zip(ends, counts.ravel().tolist())]

        def decide(values):
            chosen = numpy.array([values[block].argmax() for block in blocks]).reshape(counts.shape) + space.start
            return chosen.astype(space.dtype) if counts.shape else space.dtype.type(chosen)

        return ends[-1], decide, [-1.0] * ends[-1], [1.0] * ends[-1]

    def joined(self, pairs, join, names):
        parts, low, high = [], [], []
        for key, inner in pairs:
            count, decide, least, most = self.part(inner, [*names, str(key)])
            parts.append((key, decide, slice(len(low), len(low) + count)))
            low += least
            high += most
        return len(low), lambda values: join((key, decide(values[place])) for key, decide, place in parts), low, high
