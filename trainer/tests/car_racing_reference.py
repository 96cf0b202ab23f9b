"""What Gymnasium's CarRacing-v3 itself does, for car_racing_parity.rs to compare with.

    car_racing_reference.py JOB...        each job: DRIVER SEEDS STEPS KWARGS WORLDS

SEEDS is first-last. DRIVER says how is driven (`Driver`); each seed is played for STEPS steps, past the end of the episode if it comes sooner. KWARGS is
JSON for gymnasium.make. WORLDS = "one" plays all seeds in one environment, one after the other, "new" each in one of its own. No picture is drawn.
For each job writes to stdout, little-endian:

    length   u64, bytes that follow for this job
    reset    'R', u64 seed, u64 polygons, for each f64 vertices[8]; u8 background[3], u8 grass[3]; scene
    step     'S', f32 action[A], f64 reward, u8 terminated, u8 truncated; scene
    end      'E'

A scene is f64 hull[8] (x, y, angle, sine, cosine, velocity x and y, rate), for each wheel f64[8] (x, y, sine, cosine, omega, phase, joint angle, whether it
is on a tile), f64 t, f64 reward as the picture shows it, u64 polygons, for each u8 colour[3].
"""

import json
import math
import struct
import sys

import gymnasium
import numpy as np

gymnasium.logger.min_level = gymnasium.logger.ERROR


class Driver:
    """Drives `env` by the rule that `name` says."""

    def __init__(self, name: str, env, seed: int) -> None:
        self.rule, self.env, self.rng, self.t = getattr(self, name), env, np.random.default_rng([seed, 7]), -1

    def action(self) -> np.ndarray:
        self.t += 1
        return np.asarray(self.rule(), np.float32)

    def random(self):
        return self.rng.uniform([-1, 0, 0], [1, 1, 1])

    def beyond(self):
        """Outside the range: gas is clipped, steering and brake are not."""
        return self.rng.uniform([-3, -1, -1], [3, 2, 2])

    def choices(self):
        if self.t % 8 == 0:
            self.choice = self.rng.integers(5)
        return [self.choice]

    def well(self):
        """Towards the road ahead, slower where it bends."""
        x, y = self.env.car.hull.position
        points = np.array(self.env.track)[:, 2:]
        nearest = int(np.argmin((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2))
        near, far = (abs(self.aside(points[(nearest + ahead) % len(points)])) for ahead in (6, 14))
        speed, wanted = math.hypot(*self.env.car.hull.linearVelocity), 55 if far < 0.35 else 35
        steer = -1.2 * self.aside(points[(nearest + 6) % len(points)])
        return [steer, 0.6 if speed < wanted else 0.0, 0.3 if speed > wanted + 12 else 0.0]

    def off(self):
        """Straight off the field, no faster than the grass bears."""
        x, y = self.env.car.hull.position
        return [-self.aside((2 * x, 2 * y)), 0.3 if math.hypot(*self.env.car.hull.linearVelocity) < 40 else 0.0, 0.0]

    def spinning(self):
        return [1.0, 1.0, 0.0]

    def locked(self):
        braking = self.t % 100 >= 60
        return [self.rng.uniform(-1, 1), 0.0 if braking else 1.0, 0.9 if braking else 0.0]

    def sleeping(self):
        """Stands with turned wheels until Box2D lets everything sleep, and wakes it once."""
        return [0.5, 1.0, 0.0] if self.t < 40 or 300 < self.t < 340 else [0.5, 0.0, 1.0]

    def aside(self, point) -> float:
        """The angle to `point` from where the car heads."""
        x, y = self.env.car.hull.position
        heading = self.env.car.hull.angle + math.pi / 2
        return (math.atan2(point[1] - y, point[0] - x) - heading + math.pi) % (2 * math.pi) - math.pi


def colours(env) -> bytes:
    return struct.pack("<Q", len(env.road_poly)) + bytes(int(c) for _, colour in env.road_poly for c in colour)


def scene(env) -> bytes:
    def pose(body):
        cosine, sine = body.GetWorldVector((1, 0))
        return *body.position, sine, cosine

    hull = env.car.hull
    x, y, sine, cosine = pose(hull)
    numbers = [x, y, hull.angle, sine, cosine, *hull.linearVelocity, hull.angularVelocity]
    for wheel in env.car.wheels:
        numbers += [*pose(wheel), wheel.omega, wheel.phase, wheel.joint.angle, len(wheel.tiles) > 0]
    numbers += [env.t, env.shown]
    return struct.pack(f"<{len(numbers)}d", *map(float, numbers)) + colours(env)


def make(kwargs: dict):
    env = gymnasium.make("CarRacing-v3", disable_env_checker=True, **kwargs)
    inner, blank = env.unwrapped, np.zeros((96, 96, 3), np.uint8)

    def render(mode):
        inner.shown = inner.reward
        return blank

    inner._render = render
    return env


def play(name: str, seeds: range, steps: int, kwargs: dict, is_one_world: bool) -> bytes:
    out, env = bytearray(), make(kwargs)
    for seed in seeds:
        env = env if is_one_world else make(kwargs)
        inner = env.unwrapped
        env.reset(seed=seed)
        out += b"R" + struct.pack("<QQ", seed, len(inner.road_poly))
        for polygon, _ in inner.road_poly:
            out += struct.pack("<8d", *(float(x) for vertex in polygon for x in vertex))
        out += bytes(int(c) for c in [*inner.bg_color, *inner.grass_color]) + scene(inner)
        driver = Driver(name, inner, seed)
        for _ in range(steps):
            action = driver.action()
            _, reward, terminated, truncated, _ = env.step(int(action[0]) if action.size == 1 else action)
            out += b"S" + action.tobytes() + struct.pack("<dBB", reward, terminated, truncated) + scene(inner)
    return bytes(out + b"E")


def main(args: list[str]) -> None:
    for name, seeds, steps, kwargs, worlds in zip(*[iter(args)] * 5, strict=True):
        first, last = map(int, seeds.split("-"))
        played = play(name, range(first, last + 1), int(steps), json.loads(kwargs), worlds == "one")
        sys.stdout.buffer.write(struct.pack("<Q", len(played)) + played)


if __name__ == "__main__":
    main(sys.argv[1:])
