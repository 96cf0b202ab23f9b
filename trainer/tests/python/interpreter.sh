#!/bin/sh
# What `env.python` names in tests: the Python that `make setup` installed, with the environments beside this file.
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
PYTHONPATH=$root/third_party/python:$here${PYTHONPATH:+:$PYTHONPATH}
# Set-up compiles no modules, and a child that compiled them all would start in seconds.
PYTHONPYCACHEPREFIX=${PYTHONPYCACHEPREFIX:-$root/target/tmp/pycache}
# As in gymnasium_reference.py: with AVX-512, OpenBLAS's dot product of three numbers is fused.
OPENBLAS_CORETYPE=Nehalem
unset PYTHONDONTWRITEBYTECODE
export PYTHONPATH PYTHONPYCACHEPREFIX OPENBLAS_CORETYPE
exec "$root/third_party/venv/bin/python" "$@"
