#!/usr/bin/env python3
"""Holds the documents to the tree: every relative link of a Markdown file leads to a file, and every path in backticks, from the
repository's root, names one; `path::name` names a function in it.

Prints a line a miss and exits 1 where there is one. Dated records are left alone: they tell of the tree that they were measured on.
"""

import re
import subprocess
import sys
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:core|runtime|trainer|bench|fixtures|fuzz|scripts|configs|docs)/[\w./-]*\w)(?:::(\w+))?`")
# A further function of the file that was named before it, as in "`a/b.rs::one`, `…::two`".
SAME = re.compile(r"`…::(\w+)`")


def misses(file: Path) -> list[str]:
    found = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        place = f"{file}:{number}"
        for target in LINK.findall(line):
            path = target.split("#")[0]
            if path and "://" not in target and not (file.parent / path).exists():
                found.append(f"{place}: link to {target}: no such file")
        last = None
        for match in re.finditer(f"{PATH.pattern}|{SAME.pattern}", line):
            path, name, same = match.groups()
            last = Path(path) if path else last
            name = name or same
            if last is None or not last.exists():
                found.append(f"{place}: {path}: no such file")
            elif name and f"fn {name}(" not in last.read_text():
                found.append(f"{place}: {last}: expected a function {name}, found none")
    return found


def main() -> int:
    files = subprocess.run(["git", "ls-files", "*.md"], check=True, capture_output=True, text=True).stdout.split()
    documents = [Path(name) for name in files if not name.startswith("bench/record/")]
    found = [miss for file in documents if file.exists() for miss in misses(file)]
    print("\n".join(found) or f"{len(documents)} documents: every link and path leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
