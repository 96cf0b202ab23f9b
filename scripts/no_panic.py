#!/usr/bin/env python3
"""Proves that the control loop's functions hold no path to a panic: none of their machine code refers to core::panicking.

Disassembles runtime/examples/entry_points.rs (act, advance, step, reset, ... as functions of their own) and, in the runtime's own
library, every function of the layers, the kernels and the agent's step. Negative control: the self-test, which does index, must be
seen to refer to a panic; and every entry point must be found.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ENTRIES = ["act", "override_action", "advance", "step", "reset", "digest"]
# Functions of the runtime that run in the loop. `Agent::new` does not; it runs before.
IN_THE_LOOP = re.compile(r"dreamstep_runtime::(kernels|layers|mdn)::|dreamstep_runtime::agent::Agent::(?!new)")
PANIC = re.compile(r"core::(panicking|option::(unwrap|expect)_failed|result::unwrap_failed)|slice_index_fail|len_mismatch_fail")
OUTSIDE = re.compile(r"dreamstep_runtime::kernels::\w+::Token::detect|dreamstep_runtime::kernels::Backend::")


def panics(library: Path) -> dict[str, bool]:
    """Every function of `library`, and whether it refers to a panic."""
    text = subprocess.run(
        ["objdump", "--disassemble", "--reloc", "--demangle", "--no-show-raw-insn", library],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found, name = {}, ""
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = header[1]
            found.setdefault(name, False)
        elif PANIC.search(line):
            found[name] = True
    return found


def main() -> int:
    build = "cargo build --release --locked -q -p dreamstep-runtime --lib --example entry_points"
    subprocess.run(build.split(), check=True)
    release = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    entry = panics(release / "examples/libentry_points.rlib")
    runtime = panics(release / "libdreamstep_runtime.rlib")
    wrong = [f"entry_{name}: not found" for name in ENTRIES if f"entry_{name}" not in entry]
    wrong += [f"{name}: refers to a panic" for name, does in entry.items() if does]
    loop = [name for name in runtime if IN_THE_LOOP.search(name) and not OUTSIDE.search(name)]
    wrong += [f"{name}: refers to a panic" for name in loop if runtime[name]]
    if len(loop) < 4:
        wrong.append(f"expected the layers among the runtime's functions, found {loop}")
    if not any(does for name, does in runtime.items() if "self_test" in name):
        wrong.append("negative control: expected a reference to a panic in Model::self_test, found none")
    print("\n".join(wrong) or f"no panic in {len(entry) + len(loop)} functions of the control loop")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
