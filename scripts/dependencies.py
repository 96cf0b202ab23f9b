#!/usr/bin/env python3
"""Holds the dependency direction: core <- runtime <- {trainer, bench, conformance}; heavy packages in the trainer,
or behind a feature, only.

Reads `cargo metadata`; exits 1 with a line per violation. Dev-dependencies are exempt where a test may look further than the
code that ships.
"""

import json
import subprocess
import sys

# What each package of ours may depend on: ours, then others. Building and running; not testing.
ALLOWED = {
    "dreamstep-core": (set(), {"half", "libm", "serde_json"}),
    "dreamstep-runtime": ({"dreamstep-core"}, {"bytemuck", "cpufeatures"}),
    "dreamstep-capi": ({"dreamstep-core", "dreamstep-runtime"}, set()),
    "dreamstep-conformance": ({"dreamstep-core", "dreamstep-runtime", "dreamstep-fixtures"}, set()),
    "dreamstep-fixtures": ({"dreamstep-core"}, set()),
    "dreamstep-bench": ({"dreamstep-core", "dreamstep-runtime", "dreamstep-fixtures"},
                        {"anyhow", "bytemuck", "clap", "libloading", "nix", "plotters", "serde", "serde_json", "tempfile"}),
    "dreamstep-mujoco-link": (set(), set()),
    "dreamstep": ({"dreamstep-core", "dreamstep-runtime", "dreamstep-mujoco-link"}, None),
}
# What a feature adds that nobody has who does not ask for it.
OPTIONAL = {
    "dreamstep": {"tch", "torch-sys"},
    "dreamstep-bench": {
        "dreamstep", "dreamstep-mujoco-link", "tch", "torch-sys", "ort", "prost", "tract-onnx", "candle-core", "candle-nn",
    },
}
# Only the trainer may name these, tests included; others as optional ones above.
TRAINER_ONLY = {"tch", "torch-sys", "mujoco-rs", "toml", "indicatif", "rayon", "ndarray", "nalgebra"}


def main() -> int:
    text = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], check=True, capture_output=True, text=True
    ).stdout
    wrong = []
    for package in json.loads(text)["packages"]:
        name = package["name"]
        if name not in ALLOWED:
            wrong.append(f"{name}: a package that scripts/dependencies.py does not know: say there what it may depend on")
            continue
        ours, others = ALLOWED[name]
        for dependency in package["dependencies"]:
            on, shipped = dependency["name"], dependency["kind"] != "dev"
            if on in OPTIONAL.get(name, set()):
                if not dependency["optional"]:
                    wrong.append(f"{name} depends on {on} in every build: only a feature may")
                continue
            if name != "dreamstep" and on in TRAINER_ONLY:
                wrong.append(f"{name} depends on {on}: only the trainer may")
            elif shipped and on in ALLOWED and on not in ours:
                wrong.append(f"{name} depends on {on}: dependencies point core <- runtime <- {{trainer, bench, conformance}}")
            elif shipped and on not in ALLOWED and others is not None and on not in others:
                wrong.append(f"{name} depends on {on}: not on its list")
    print("\n".join(wrong) or f"{len(ALLOWED)} packages depend only on what they may")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
