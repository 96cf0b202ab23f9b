#!/usr/bin/env bash
# Set-up, with stand-ins for cargo, the compilers, venv and pip: nothing is downloaded, and nothing outside a temporary folder is touched.
# What pip would install it "installs" empty; where the file `no-network` stands, it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
from=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin"
printf '#!/bin/sh\nexit 0\n' | tee "$folder/bin/cargo" "$folder/bin/cc" >"$folder/bin/c++"
cat >"$folder/bin/pip" <<'S'
#!/bin/sh
case $1 in scripts/*) [ ! -e "$STAND_IN/no-font" ] || { echo "no font"; exit 1; }; echo "by $1" >"$2"; exit ;; esac
[ "$1" != -c ] || exit 0
[ ! -e "$STAND_IN/no-network" ] || { echo "ERROR: no network"; exit 1; }
case $* in *" -c scripts/requirements.txt vizdoom=="*) echo vizdoom >"$STAND_IN/asked" && exit ;; esac
while [ $# -gt 0 ]; do
  case $1 in --target) to=$2 ;; -r) from=$2 ;; esac
  shift
done
cp "$from" "$STAND_IN/asked"
mkdir -p "$to/bin"
grep -q '^gymnasium=' "$from" && mkdir -p "$to/gymnasium/envs/mujoco/assets" && : >"$to/gymnasium/envs/mujoco/assets/humanoid.xml"
grep -q '^mujoco=' "$from" && mkdir -p "$to/mujoco" && echo new >"$to/mujoco/libmujoco.so.3.17.0" && : >"$to/bin/viewer"
grep -q '^torch=' "$from" && mkdir -p "$to/torch/lib" && echo new >"$to/torch/lib/libtorch_cpu.so" && : >"$to/bin/torchrun"
grep -q '^nvidia-' "$from" && mkdir -p "$to/nvidia" && echo new >"$to/nvidia/libcudart.so"
exit 0
S
cat >"$folder/bin/python3" <<S
#!/bin/sh
if [ "\$1" = -m ] && [ "\$2" = venv ]; then mkdir -p "\$3/bin" && cp "$folder/bin/pip" "\$3/bin/python"; exit; fi
exec "$(command -v python3)" "\$@"
S
chmod +x "$folder"/bin/*

# A fresh checkout in $1 below the temporary folder, and what it says and leaves; variables before the name reach set-up.
fresh() { checkout="$folder/$1" && mkdir -p "$checkout/scripts" && cp scripts/setup.sh scripts/setup_doom.sh scripts/requirements.txt scripts/car_racing_score.py "$checkout/scripts/"; }
setup() { script setup.sh "$@"; }
script() {
  local name=$1
  shift
  rm -f "$folder/asked"
  (cd "$checkout" && env -u LIBTORCH -u MUJOCO_DYNAMIC_LINK_DIR -u SETUP STAND_IN="$folder" PATH="$folder/bin:$PATH" "$@" bash "scripts/$name") \
    >"$folder/log" 2>&1
}
wrong() { echo "test_setup: $case: $*"; cat "$folder/log"; exit 1; }
is() { [ "$(cat "$checkout/third_party/$1" 2>/dev/null)" = "$2" ] || wrong "third_party/$1: expected $2"; }
there() { for path; do [ -e "$checkout/third_party/$path" ] || wrong "third_party/$path: expected to be there"; done; }
gone() { for path; do [ ! -e "$checkout/third_party/$path" ] || wrong "third_party/$path: expected not to be there"; done; }
asked() { [ -e "$folder/asked" ] && grep -q "^$1" "$folder/asked"; }
torch=python/torch/lib/libtorch_cpu.so mujoco=python/mujoco/libmujoco.so.3.17.0
old() { mkdir -p "$(dirname "$checkout/third_party/$1")" && echo old >"$checkout/third_party/$1"; }

case="whole, and once more"
fresh whole && setup SETUP= || wrong "failed"
there $torch $mujoco mujoco/libmujoco.so python/nvidia/libcudart.so
is mujoco/libmujoco.so new
is car_racing_score.bin "by scripts/car_racing_score.py"
setup SETUP= && ! asked mujoco || wrong "expected nothing to be downloaded again"
setup SETUP=light && ! asked mujoco || wrong "expected the whole to be enough for the light one"
there $torch

case="light, then the whole"
fresh light && setup SETUP=light || wrong "failed"
there $mujoco mujoco/libmujoco.so && gone python/torch python/nvidia
! asked torch && ! asked nvidia || wrong "expected no torch and no nvidia"
setup SETUP=light && ! asked mujoco || wrong "expected nothing to be downloaded again"
touch "$folder/no-network"
! setup SETUP= || wrong "expected to fail"
there $mujoco mujoco/libmujoco.so
setup SETUP=light || wrong "expected the light one to work on after a failed download"
rm "$folder/no-network"
setup SETUP= || wrong "failed"
asked torch && asked nvidia && ! asked mujoco || wrong "expected the rest alone"
there $torch $mujoco python/nvidia/libcudart.so python/bin/torchrun python/bin/viewer
case="an unknown kind"
! setup SETUP=small && grep -q "SETUP=small: expected light" "$folder/log" || wrong "expected a refusal"

case="scores that cannot be painted"
rm "$checkout/third_party/car_racing_score.bin"
touch "$folder/no-font"
! setup SETUP= && grep -q "CarRacing-v3's scores: no font" "$folder/log" || wrong "expected to fail"
rm "$folder/no-font"
setup SETUP= && ! asked mujoco || wrong "expected the scores alone"
is car_racing_score.bin "by scripts/car_racing_score.py"

case="a download that fails"
fresh offline && setup SETUP= || wrong "failed"
echo "# another pin" >>"$checkout/scripts/requirements.txt"
touch "$folder/no-network"
! setup SETUP= && grep -q "no network" "$folder/log" || wrong "expected to fail"
there $torch $mujoco mujoco/libmujoco.so
[ "$(ls -d "$checkout"/third_party/python.* 2>/dev/null)" = "" ] || wrong "expected no leftovers"
rm "$folder/no-network"
mv "$checkout/third_party/python" "$checkout/third_party/python.old"
setup SETUP= || wrong "failed after a kill in the middle"
there $torch $mujoco && gone python.old

# Named ones, however they are spelt; another stamp, so that everything else is made anew.
for spelling in plain slash relative dotted link; do
  case="LIBTORCH in third_party, $spelling"
  fresh "torch-$spelling" && old $torch && old python/nvidia/libcudart.so && old python/stale/file && old stamp
  old $mujoco
  at="$checkout/third_party/python/torch"
  case $spelling in
    slash) at=$at/ ;;
    relative) at=third_party/python/torch ;;
    dotted) at="$checkout/scripts/../third_party/python/torch" ;;
    link) ln -s "$at" "$folder/link-to-torch" && at="$folder/link-to-torch" ;;
  esac
  setup LIBTORCH="$at" || wrong "failed"
  is $torch old && is python/nvidia/libcudart.so old && is $mujoco new
  ! asked torch || wrong "expected no torch"
done
case="LIBTORCH elsewhere in third_party"
for place in venv/lib/torch python.partial/torch python/mujoco/torch mujoco/torch libtorch; do
  fresh "torch-at-${place//\//-}" && old $place/lib/libtorch_cpu.so && old stamp
  setup LIBTORCH="$checkout/third_party/$place" || wrong "$place: failed"
  is $place/lib/libtorch_cpu.so old
  is $mujoco new
done
case="LIBTORCH outside"
fresh outside && mkdir -p "$folder/libtorch/lib" && : >"$folder/libtorch/lib/libtorch_cpu.so" && old $torch && old stamp
setup LIBTORCH="$folder/libtorch" || wrong "failed"
gone python/torch && there mujoco/libmujoco.so

case="MUJOCO_DYNAMIC_LINK_DIR, a file of its own"
fresh mujoco-file && old mujoco/libmujoco.so && old stamp
setup MUJOCO_DYNAMIC_LINK_DIR="$checkout/third_party/mujoco/" || wrong "failed"
is mujoco/libmujoco.so old
case="MUJOCO_DYNAMIC_LINK_DIR, set-up's own link"
fresh mujoco-link && old $mujoco && old stamp && mkdir "$checkout/third_party/mujoco"
ln -s ../$mujoco "$checkout/third_party/mujoco/libmujoco.so"
setup MUJOCO_DYNAMIC_LINK_DIR=third_party/mujoco || wrong "failed"
is mujoco/libmujoco.so old
case="MUJOCO_DYNAMIC_LINK_DIR in the wheels"
fresh mujoco-wheel && old python/mujoco/libmujoco.so && old stamp
setup MUJOCO_DYNAMIC_LINK_DIR="$checkout/third_party/python/mujoco" || wrong "failed"
is python/mujoco/libmujoco.so old
is $mujoco new
case="both, and third_party a link"
fresh both && mkdir "$folder/elsewhere" && ln -s "$folder/elsewhere" "$checkout/third_party"
old $torch && old mujoco/libmujoco.so && old stamp
setup LIBTORCH="$checkout/third_party/python/torch" MUJOCO_DYNAMIC_LINK_DIR="$folder/elsewhere/mujoco" || wrong "failed"
is $torch old && is mujoco/libmujoco.so old
there python/gymnasium/envs/mujoco/assets/humanoid.xml

case="ViZDoom, which only its own set-up installs"
fresh doom && setup SETUP= || wrong "failed"
! asked vizdoom && gone doom || wrong "expected no ViZDoom"
touch "$folder/no-network"
! script setup_doom.sh && grep -q "could not install vizdoom .*no network" "$folder/log" || wrong "expected to fail"
rm "$folder/no-network"
script setup_doom.sh && asked vizdoom || wrong "expected ViZDoom after a failed download"
script setup_doom.sh && ! asked vizdoom || wrong "expected nothing to be downloaded again"
echo "# another pin" >>"$checkout/scripts/requirements.txt"
touch "$folder/no-network"
! script setup_doom.sh || wrong "expected to fail"
there doom/bin/python doom/stamp python/gymnasium

echo "set-up harms nothing that it is told to use"
