"""What `dreamstep evaluate --json` should say of its episodes: the same statistics in numpy, written from their definitions.

    evaluate_reference.py REPORT

Interquartile mean: scipy.stats.trim_mean(x, 0.25). Interval: numpy's percentiles of 2000 resamples, whose indices are Philox4x32-10's words
(Salmon et al. 2011; Random123), key 0, counter [i // 4, resample, 0, 60], word i % 4, its upper part of n.
"""

import json
import sys

import numpy as np

MASK = np.uint64(0xFFFFFFFF)


def philox4x32_10(counter, key):
    """counter: four arrays of uint64 below 2^32."""
    c, k = [np.asarray(x, np.uint64) for x in counter], [int(x) for x in key]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        k0, k1 = (np.uint64(x & 0xFFFFFFFF) for x in k)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k0, p1 & MASK, (p0 >> np.uint64(32)) ^ c[3] ^ k1, p0 & MASK]
        k = [k[0] + 0x9E3779B9, k[1] + 0xBB67AE85]
    return c


def resamples(n, count=2000, stream=60):
    block, draw = np.meshgrid(np.arange(-(-n // 4)), np.arange(count))
    zeros = np.zeros_like(block)
    words = np.stack(philox4x32_10([block, draw, zeros, zeros + stream], [0, 0]), axis=-1).reshape(count, -1)[:, :n]
    return ((words * np.uint64(n)) >> np.uint64(32)).astype(int)


def trim_mean(x):
    cut = int(0.25 * x.shape[-1])
    x = np.sort(x, axis=-1)
    return x[..., cut : x.shape[-1] - cut].mean(axis=-1)


def main():
    # Random123's known answer for a counter and key of zeros.
    assert [int(w) for w in philox4x32_10([0, 0, 0, 0], [0, 0])] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    report = json.load(open(sys.argv[1]))
    found = []
    for row in report["rows"]:
        expected = {"policy": row["policy"]}
        for quantity, name in [("return", "return"), ("length", "length"), ("distance_m", "distance_m")]:
            x = np.array([episode[name] for episode in row["outcomes"]], float)
            low, high = np.percentile(trim_mean(x[resamples(len(x))]), [2.5, 97.5])
            expected[quantity] = {
                "mean": x.mean(),
                "standard_error": x.std(ddof=1) / np.sqrt(len(x)),
                "iqm": trim_mean(x),
                "iqm_interval": [low, high],
            }
        found.append(expected)
    json.dump(found, sys.stdout)


main()
