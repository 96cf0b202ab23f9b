"""Evaluations that pycma takes to bring a function below 1e-8, for trainer/tests/suite/evolution.rs to compare with.

    pycma_evaluations.py [--seeds 11] [CASE ...] > pycma_evaluations.json

A case is `cma-es|sep-cma-es|sep-cma-es-csa FUNCTION N` in quotes; without any, all of them: about two hours, nearly all of it for
N = 1000. The start is 0.1 in every coordinate, sigma 0.5, all else pycma's default, which for N >= 300 includes two-point step-size
adaptation; `-csa` asks for the cumulative one there too. A run that stopped before it got there is null.
"""

import argparse
import json
import sys
import warnings

import cma

warnings.filterwarnings("ignore")

START, SIGMA, TARGET = 0.1, 0.5, 1e-8
FUNCTIONS = {"sphere": cma.ff.sphere, "ellipsoid": cma.ff.elli, "rosenbrock": cma.ff.rosen}
CASES = [f"cma-es {function} {n}" for function in FUNCTIONS for n in (10, 40)]
CASES += ["sep-cma-es ellipsoid 100", "sep-cma-es ellipsoid 1000", "sep-cma-es-csa ellipsoid 1000"]


def evaluations(case: str, seed: int) -> int | None:
    strategy, name, n = case.split()
    options = {"seed": seed, "ftarget": TARGET, "verbose": -9, "verb_log": 0, "signals_filename": None}
    if strategy.startswith("sep"):
        options["CMA_diagonal"] = True
    if strategy.endswith("csa"):
        options["AdaptSigma"] = cma.sigma_adaptation.CMAAdaptSigmaCSA
    search = cma.CMAEvolutionStrategy(int(n) * [START], SIGMA, options)
    while not search.stop():
        candidates = search.ask()
        search.tell(candidates, [FUNCTIONS[name](x) for x in candidates])
    return search.result.evaluations if "ftarget" in search.stop() else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("cases", nargs="*", default=CASES)
    arguments = parser.parse_args()
    found = {}
    for case in arguments.cases:
        found[case] = [evaluations(case, seed) for seed in range(1, arguments.seeds + 1)]
        print(case, found[case], file=sys.stderr, flush=True)
    head = json.dumps({"pycma": cma.__version__, "start": START, "sigma": SIGMA, "target": TARGET})
    rows = ",\n".join(f"  {json.dumps(case)}: {json.dumps(runs)}" for case, runs in found.items())
    print(f'{{\n {head[1:-1]},\n "evaluations": {{\n{rows}\n }}\n}}')


if __name__ == "__main__":
    main()
