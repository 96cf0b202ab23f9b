"""Environments for the tests of the bridge and for its benchmark: `gym:bridge_envs:NAME`."""

import gymnasium

for name, limit in {"Slide": 20, "Spaces": 10, "Echo": 1000, "Nothing": 1_000_000, "Busy": 1_000_000, "Endless": None}.items():
    gymnasium.register(f"{name}-v0", f"bridge_envs.environments:{name}", max_episode_steps=limit)
