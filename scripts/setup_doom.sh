#!/usr/bin/env bash
# Installs what Take Cover needs (docs/take_cover.md) into third_party/doom, a Python environment of its own; nothing else is touched, and
# nothing else needs it.
#
#   third_party/doom/bin/python    ViZDoom, pinned here; Gymnasium and numpy, pinned in scripts/requirements.txt; trainer/python/take_cover.py
#
# Idempotent: a stamp holds the digest of the pins, and while that is what it was nothing is downloaded or written. A download that fails
# leaves the installation as it was.
set -euo pipefail
cd "$(dirname "$0")/.."
vizdoom=1.3.2

fail() { echo "setup-doom: $*" >&2; exit 1; }
command -v python3 >/dev/null 2>&1 || fail "'python3' not found: install Python 3.10 to 3.13 with venv and pip (Debian/Ubuntu: python3-venv python3-pip)"
python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  fail "python3 is $(python3 -V 2>&1 | cut -d' ' -f2), expected 3.10 to 3.13 (the pinned wheels exist for these)"
python3 -c 'import venv, ensurepip' 2>/dev/null ||
  fail "python3 has no venv/ensurepip (Debian/Ubuntu: apt install python3-venv)"

doom=third_party/doom log=third_party/doom.log
# The checkout's place is part of it: an environment knows where it lies.
pins="$(cat scripts/requirements.txt scripts/setup_doom.sh | sha256sum | cut -d' ' -f1) $(python3 -V 2>&1) $PWD"
[ "$(cat $doom/stamp 2>/dev/null || true)" != "$pins" ] || exit 0

echo "setup-doom: installing vizdoom $vizdoom into $doom (about 0.3 GB; once)"
mkdir -p third_party
python3 -m venv $doom >$log 2>&1 || fail "python3 -m venv failed: see $log"
$doom/bin/python -m pip install --only-binary :all: --no-cache-dir --disable-pip-version-check --progress-bar off --retries 2 \
  -c scripts/requirements.txt "vizdoom==$vizdoom" >>$log 2>&1 ||
  fail "could not install vizdoom $vizdoom (no network?): $(grep -E 'ERROR' $log | head -n 1 | cut -c1-160); log: $log"
# `import take_cover` finds this checkout's.
$doom/bin/python -c 'import pathlib, sys, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "dreamstep.pth").write_text(sys.argv[1])' \
  "$PWD/trainer/python"
$doom/bin/python -c 'import take_cover' || fail "$doom: cannot import take_cover: remove $doom and run again"
echo "$pins" >$doom/stamp
