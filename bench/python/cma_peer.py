"""A generation of pycma's diagonal CMA-ES, for bench/src/throughput/evolution.rs to compare with.

    cma_peer.py N POPULATION SIGMA

Each line of standard input is a generation: ask for POPULATION candidates of N parameters, tell their scores. The answer is
{"seconds": processor time of both}. Scores are drawn beforehand; to the optimiser's own work it is all the same what they are.
"""

import argparse
import json
import sys
import time

try:
    import cma
    import numpy as np
except ImportError as error:
    print(json.dumps({"missing": str(error)}), flush=True)
    sys.exit()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("n", type=int)
    parser.add_argument("population", type=int)
    parser.add_argument("sigma", type=float)
    arguments = parser.parse_args()
    options = {"CMA_diagonal": True, "popsize": arguments.population, "seed": 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(np.zeros(arguments.n), arguments.sigma, options)
    draws = np.random.default_rng(1)
    print(json.dumps({"version": f"pycma {cma.__version__}"}), flush=True)
    for _ in sys.stdin:
        scores = draws.normal(size=arguments.population).tolist()
        start = time.process_time()
        search.tell(search.ask(), scores)
        print(json.dumps({"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
