#!/usr/bin/env bash
# Is the runtime slower than it was? Builds the C library of two commits and times them in turn, in one process:
#   scripts/regress.sh BASE [NEW]     NEW: a commit, or this working tree where it is left out
# Exits with 1 where NEW is slower. Further arguments go to the program (see `regress --help`) after a `--`.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "regress: $*" >&2; exit 1; }
commits=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do commits+=("$1"); shift; done
[ "${1:-}" != -- ] || shift
[ ${#commits[@]} -ge 1 ] && [ ${#commits[@]} -le 2 ] || fail "expected BASE and perhaps NEW, found ${#commits[@]} arguments"

work=$PWD/target/regress
library() { # COMMIT: builds it in a folder of its own and prints where the library is
  local commit
  commit=$(git rev-parse --verify --quiet "$1^{commit}") || fail "'$1' is no commit of this repository"
  local tree=$work/tree-$commit
  [ -e "$tree" ] || git worktree add --quiet --detach "$tree" "$commit" >&2
  (cd "$tree" && cargo build --release --locked --quiet -p dreamstep-capi --target-dir "$work/target-$commit") >&2 ||
    fail "$1: the C library does not build"
  git worktree remove --force "$tree"
  echo "$work/target-$commit/release/libdreamstep_capi.so"
}
mkdir -p "$work"
base=$(library "${commits[0]}")
if [ ${#commits[@]} -eq 2 ]; then
  new=$(library "${commits[1]}")
else
  cargo build --release --locked --quiet -p dreamstep-capi
  new=target/release/libdreamstep_capi.so
fi
cargo build --release --locked --quiet -p dreamstep-bench --bin regress
exec target/release/regress --base "$base" --new "$new" "$@"
