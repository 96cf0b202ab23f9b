"""What ViZDoom's own wrapper and Pillow make of recorded episodes of Take Cover.

    take_cover_reference.py EPISODE.npz ...

Each is played again in `VizdoomTakeCover-v1` from its seed, and has to be the same: 64 x 64 frames of what stands above the status bar, the
action's meaning, rewards, ends. Prints for each its steps and T where it ended in death, L at the limit. Then what the environment itself
promises: where it is killed, nothing of its game stays.
"""

import sys

import gymnasium
import numpy as np
import take_cover
import vizdoom.gymnasium_wrapper  # noqa: F401: registers it
from PIL import Image

# Of `Discrete(3)` there: nothing, right, left.
NOTHING, RIGHT, LEFT = range(3)
HEIGHT = 100


def seen(observation):
    return np.asarray(Image.fromarray(observation["screen"][:HEIGHT]).resize((64, 64), Image.BILINEAR))


env = gymnasium.make("VizdoomTakeCover-v1", screen_resolution="RES_160X120", render_hud=True)
sides = set()
for path in sys.argv[1:]:
    episode = np.load(path)
    steps, frames = len(episode["actions"]), episode["observations"]
    assert frames.dtype == np.uint8 and frames.shape == (steps + 1, 64, 64, 3), frames.shape
    assert (frames[0] == seen(env.reset(seed=int(episode["seed"]))[0])).all(), path
    for step in range(steps):
        side = episode["actions"][step, 0]
        choice = LEFT if side < -1 / 3 else RIGHT if side > 1 / 3 else NOTHING
        sides.add(choice)
        observation, reward, terminated, _, _ = env.step(choice)
        assert episode["rewards"][step] == reward == 1, (path, step)
        assert episode["terminals"][step] == terminated, (path, step)
        if terminated:
            # The trap: what there is black. Here it is the frame before.
            assert not observation["screen"].any() and frames[step].any(), (path, step)
            assert (frames[step + 1] == frames[step]).all(), (path, step)
        else:
            assert (frames[step + 1] == seen(observation)).all(), (path, step)
    terminated, truncated = episode["terminals"][-1], episode["truncations"][-1]
    assert terminated != truncated, path
    print(steps, "T" if terminated else "L")
assert sides == {NOTHING, RIGHT, LEFT}, sides
env.close()

own = take_cover.TakeCover(resolution="160x120")
own.reset(seed=1)
with open("/proc/self/maps") as maps:
    memory = [line.rstrip() for line in maps if "/dev/shm/ViZDoom" in line]
assert memory and all(line.endswith(" (deleted)") for line in memory), memory
own.close()

# Steps of four tics are four of one each, of which the last is seen; but the face in the status bar looks about whenever it is drawn.
one, four = (take_cover.TakeCover(resolution="160x120", skip=skip) for skip in (1, 4))
assert (one.reset(seed=2)[0] == four.reset(seed=2)[0])[:HEIGHT].all()
for step in range(525):
    side = [[-1.0], [0.0], [1.0]][step // 7 % 3]
    frame, reward, ended, _, _ = four.step(side)
    for _ in range(4):
        last, _, dead, _, _ = one.step(side)
        if dead:
            break
    assert dead == ended and reward == (1 if ended else 4), (step, reward)
    if ended:
        break
    assert (frame[:HEIGHT] == last[:HEIGHT]).all(), step
assert ended and four.dt == 4 * one.dt
one.close()
four.close()
