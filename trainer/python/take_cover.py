"""ViZDoom's Take Cover as the world-models paper plays it: `gym:take_cover:TakeCover-v0` (docs/take_cover.md).

Monsters at the far wall throw fireballs; the player can only step aside, and every tic alive earns 1.

    observation   frames of the screen, bytes [height, width, 3], RGB, with Doom's status bar below the view
    action        one number in [-1, 1]: below -1/3 to the left, above 1/3 to the right, between them nothing
    step          one tic, 1/35 s; `skip` of them with one action
    end           terminated by death, truncated after 2,100 steps (the scenario itself has no limit)

A dead player has no frame: the last one that was alive is what the step of death observes, where ViZDoom's own wrapper shows a black one.

Source: Ha & Schmidhuber, World Models (2018), section 4 and its code; ViZDoom 1.3.2, scenario take_cover.
"""

import contextlib
import os
import tempfile

import gymnasium
import numpy as np
import vizdoom

# Of the action, to either side; the paper's.
THRESHOLD = 1 / 3
# In tics; the paper's.
TIME_LIMIT = 2100


class TakeCover(gymnasium.Env):
    """`resolution` is one of ViZDoom's, as `160x120`; `skill` is Doom's, 1 to 5, of which the scenario's is 4.

    A step is `skip` tics, of which only the last is drawn, and earns as many; the one of death earns 1, whenever in it that was. `env.time_limit` is
    in steps.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": vizdoom.DEFAULT_TICRATE}
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, resolution="640x480", skill=4, skip=1, render_mode=None):
        if not hasattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}"):
            raise ValueError(f"resolution: expected one of ViZDoom's, such as 640x480, found {resolution!r}")
        if skill not in range(1, 6):
            raise ValueError(f"skill: expected 1 to 5, found {skill!r}")
        if skip not in range(1, TIME_LIMIT + 1):
            raise ValueError(f"skip: expected 1 to {TIME_LIMIT}, found {skip!r}")
        self.skip = skip
        # Seconds of a step.
        self.dt = skip / vizdoom.DEFAULT_TICRATE
        self.render_mode = render_mode
        self.game = vizdoom.DoomGame()
        self.game.load_config(os.path.join(vizdoom.scenarios_path, "take_cover.cfg"))
        self.game.set_available_buttons([vizdoom.Button.MOVE_LEFT, vizdoom.Button.MOVE_RIGHT])
        self.game.set_doom_skill(skill)
        self.game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}"))
        self.game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        # With the bar the horizon is in the middle of what is above it.
        self.game.set_render_hud(True)
        self.game.set_window_visible(False)
        # Neither another game's settings are read nor this one's kept.
        self.game.set_doom_config_path(os.devnull)
        shape = (self.game.get_screen_height(), self.game.get_screen_width(), 3)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        # As ViZDoom's wrapper draws it, so that a seed is the same episode there.
        self.game.set_seed(int(self.np_random.integers(0, 2**32, dtype=np.uint32)))
        if self.game.is_running():
            self.game.new_episode()
        else:
            self.start()
        self.frame = self.game.get_state().screen_buffer
        return self.frame, {}

    def start(self):
        """Starts the game, of which nothing is to stay behind, whatever ends it."""
        # It makes a folder where it is started.
        here = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="take-cover-") as folder:
            os.chdir(folder)
            try:
                self.game.init()
            finally:
                os.chdir(here)
        # Its shared memory outlives processes that are killed. Both of them have it open by now.
        with open("/proc/self/maps") as maps:
            numbers = {line.rstrip().partition("/dev/shm/ViZDoomSM")[2] for line in maps} - {""}
        for name in ("SM", "MQCtr", "MQDoom"):
            for number in numbers:
                with contextlib.suppress(OSError):
                    os.unlink(f"/dev/shm/ViZDoom{name}{number}")

    def step(self, action):
        side = float(action[0])
        reward = self.game.make_action([side < -THRESHOLD, side > THRESHOLD], self.skip)
        terminated = self.game.is_episode_finished()
        # Every step of a kind earns the same, so that dreams count them (`Rewards` in trainer/src/control/dream/recorded.rs).
        if terminated:
            reward = 1.0
        else:
            self.frame = self.game.get_state().screen_buffer
        return self.frame, reward, terminated, False, {}

    def render(self):
        return self.frame

    def close(self):
        self.game.close()


gymnasium.register("TakeCover-v0", TakeCover, max_episode_steps=TIME_LIMIT)
