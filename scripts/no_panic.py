#!/usr/bin/env python3
"""Proves that the control loop's functions hold no path to a panic: none of their machine code refers to core::panicking.

Disassembles runtime/examples/entry_points.rs (act, advance, step, reset, ... as functions of their own) and, in the runtime's own
library, every function of the layers, the kernels and the agent's step. Negative control: the self-test, which does index, must be
seen to refer to a panic; and every entry point must be found.

Of the C library without std, which is one object, it follows every reference from each function in its header, through tables too: none
leads to a panic, but for those that read a file and those that print a refusal: core's formatting of numbers has panics of its own, which
no number takes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ENTRIES = ["act", "override_action", "advance", "step", "peek", "surprise", "replace_model", "reset", "digest"]
ENTRIES += ["act_image", "step_image", "peek_image", "act_prepared"]
# Functions of the runtime that run in the loop. `Agent::new` does not; it runs before.
IN_THE_LOOP = re.compile(
    r"dreamstep_runtime::(kernels|observation|v|convolution|c|action|m|mdn|health)::|dreamstep_runtime::agent::Agent::(?!new)"
    r"|dreamstep_core::obs::(image::(prepare|rows|Source)|resample::(row|column|entry))"
)
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


# Functions of the C library that run outside the loop: they read the file's header, index, or format.
C_OUTSIDE_THE_LOOP = {"dreamstep_model_load", "dreamstep_model_metadata", "dreamstep_model_self_test"}
C_OUTSIDE_THE_LOOP |= {f"dreamstep_{noun}_error" for noun in ("model", "agent", "dreams")}


def c_library(target: Path) -> tuple[set[str], set[str]]:
    """The functions of the header, and those of them that lead to a panic."""
    build = "cargo rustc --locked -q -p dreamstep-capi --lib --crate-type staticlib --no-default-features --profile firmware"
    subprocess.run(build.split(), check=True)
    library = target / "firmware/libdreamstep_capi.a"
    text = subprocess.run(["objdump", "--syms", "--reloc", library], check=True, capture_output=True, text=True).stdout
    # Every function and table is a section of its own; equal functions may share one.
    symbols = re.findall(r"^[0-9a-f]+ .{7} (\.\S+)\t[0-9a-f]+ (?:\.hidden )?(\S+)$", text, re.MULTILINE)
    sections = {name: section for section, name in symbols}
    refers, section = {}, ""
    for line in text.splitlines():
        if header := re.match(r"RELOCATION RECORDS FOR \[(.*)\]:", line):
            section = header[1]
            refers.setdefault(section, set())
        elif reference := re.match(r"[0-9a-f]+ R_\S+\s+(\S+?)([-+]0x[0-9a-f]+)?$", line):
            refers[section].add(reference[1])

    def leads_to_a_panic(section: str) -> bool:
        seen, to_do = set(), [section]
        while to_do:
            at = to_do.pop()
            if at in seen:
                continue
            if "4core9panicking" in at:
                return True
            seen.add(at)
            to_do.extend(sections.get(found, found) for found in refers.get(at, ()))
        return False

    header = Path("runtime/capi/include/dreamstep.h").read_text()
    functions = set(re.findall(r"\b(dreamstep_\w+)\(", header))
    return functions, {name for name in functions if name not in sections or leads_to_a_panic(sections[name])}


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
    layers = ["affine", "affine_tiles", "lstm_cell", "gru_cell", "convolve", "convolve_bytes", "convolve_last", "numbers"]
    wrong += [f"{layer}: expected among the runtime's functions, not found" for layer in layers if not any(f"::{layer}::" in f for f in loop)]
    if not any(does for name, does in runtime.items() if "self_test" in name):
        wrong.append("negative control: expected a reference to a panic in Model::self_test, found none")
    functions, found = c_library(release.parent)
    wrong += [f"{name}: leads to a panic, or is not in the C library" for name in sorted(found - C_OUTSIDE_THE_LOOP)]
    wrong += [f"negative control: expected {name} to lead to a panic" for name in sorted(C_OUTSIDE_THE_LOOP - found)]
    of_c = f"nor from {len(functions - found)} of C's {len(functions)}"
    print("\n".join(wrong) or f"no panic in {len(entry) + len(loop)} functions of the control loop, {of_c}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
