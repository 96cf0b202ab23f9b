#!/bin/sh
# Set-up's Python with PyTorch: scripts/python_with_torch.sh ARGS…
#
# Set-up installs PyTorch's wheel without the CUDA libraries beside it: the trainer links only its CPU half, and they are three gigabytes.
# Python's half loads them all and, without a GPU, calls none of them, so that empty functions of their names take their places.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/third_party/python
[ -d "$python/torch/lib" ] || { echo "$python/torch: not found: run \`make setup\`" >&2; exit 1; }
stand_ins=$root/target/torch-stand-ins-$(basename "$python"/torch-*.dist-info .dist-info)
if [ ! -d "$stand_ins" ]; then
    mkdir -p "$root/target"
    new=$(mktemp -d "$stand_ins.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    cd "$new"
    nm -D --undefined-only "$python"/torch/lib/libtorch_cuda.so "$python"/torch/lib/libtorch_nvshmem.so \
        "$python"/torch/lib/libtorch_python.so | sed 's/.* //; s/@.*//' |
        grep -E '^(cublas|cudnn|cusparse|cufft|curand|nccl|cuFile|cusolver|nvshmem)' | sort -u | sed 's/.*/void &(void) {}/' >all.c
    cc -shared -fPIC -w -o all.so all.c
    for library in "$python"/torch/lib/*.so; do readelf -d "$library"; done | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
        grep -E '^lib(cublas|cudnn|cusparse|cufft|curand|nccl|cufile|cusolver|nvshmem)' | sort -u |
        while read -r name; do cc -shared -Wl,-soname,"$name" -o "$name" -x c /dev/null; done
    cd "$OLDPWD"
    # Another process may have been faster.
    mv -T "$new" "$stand_ins" 2>/dev/null || rm -r "$new"
fi
PYTHONPATH=$python${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1 LD_PRELOAD=$stand_ins/all.so LD_LIBRARY_PATH=$stand_ins \
    exec "$root/third_party/venv/bin/python" "$@"
