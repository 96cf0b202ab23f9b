"""What `dreamstep report` should find in a run whose M was trained on mean latents: the same measures in numpy and float64, written from
their definitions.

    report_reference.py RUN INPUT    INPUT: JSON with `held_out` (indices of episodes), `blocks` ([name, size]), `healthy_bonus`
"""

import glob
import json
import math
import sys

import numpy as np

LAMBDA = 1e-3
SAFE = np.vectorize(math.erf)


def tensors(path):
    raw = open(path, "rb").read()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    metadata = header.pop("__metadata__")
    read = lambda e: np.frombuffer(raw[8 + size :][slice(*e["data_offsets"])], "<f4").reshape(e["shape"]).astype(np.float64)
    return {name: read(entry) for name, entry in header.items()}, metadata


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mlp(t, name, x):
    for layer in (0, 2, 4):
        x = x @ t[f"{name}.{layer}.weight"].T + t[f"{name}.{layer}.bias"]
        x = np.maximum(x, 0) if layer < 4 else x
    return x


class V:
    def __init__(self, path):
        self.t, meta = tensors(path)
        self.clip, self.range = float(meta["observation.clip"]), (float(meta["log_var.min"]), float(meta["log_var.max"]))

    def whiten(self, obs):
        return np.clip((obs.astype(np.float64) - self.t["normalizer.mean"]) * self.t["normalizer.inv_std"], -self.clip, self.clip)

    def encode(self, x):
        mean, log_var = np.split(mlp(self.t, "encoder", x), 2, axis=1)
        return mean, np.clip(log_var, *self.range)


class M:
    def __init__(self, path):
        self.t, meta = tensors(path)
        self.K, self.Z = int(meta["dims.mixtures"]), int(meta["dims.latent"])
        self.H = self.t["rnn.weight_hh_l0"].shape[1]
        self.floor, self.offset = float(meta["gmm.log_sigma_min"]), float(meta["reward.offset"])
        assert meta["latents"] == "mean"

    def step(self, z, a, state):
        h, c = state
        t = self.t
        gates = np.concatenate([a, z]) @ t["rnn.weight_ih_l0"].T + h @ t["rnn.weight_hh_l0"].T
        i, f, g, o = np.split(gates + t["rnn.bias_ih_l0"] + t["rnn.bias_hh_l0"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return self.head(h), (h, c)

    def head(self, h):
        out, n = h @ self.t["gmm_linear.weight"].T + self.t["gmm_linear.bias"], self.K * self.Z
        logits = out[2 * n : 2 * n + self.K]
        weights = np.exp(logits - logits.max())
        return {
            "means": out[:n].reshape(self.K, self.Z),
            "log_sigmas": np.maximum(out[n : 2 * n], self.floor).reshape(self.K, self.Z),
            "weights": weights / weights.sum(),
            "reward": out[-2] + self.offset,
            "end": sigmoid(out[-1]),
        }


def ridge(x, y):
    mx, my = x.mean(0), y.mean(0)
    w = np.linalg.solve((x - mx).T @ (x - mx) + LAMBDA * np.eye(x.shape[1]), (x - mx).T @ (y - my))
    residual = y - my - (x - mx) @ w
    return (lambda q: my + (q - mx) @ w), residual.T @ residual / len(x)


def share(truth, prediction, centre):
    total = ((truth - centre) ** 2).sum()
    return ((truth - prediction) ** 2).sum() / total if total > 0 else None


def main():
    run, given = sys.argv[1], json.load(open(sys.argv[2]))
    v, m = V(f"{run}/vae.safetensors"), M(f"{run}/mdnrnn.safetensors")
    mid, half = (np.array([float(n) for n in tensors(f"{run}/mdnrnn.safetensors")[1][k].split(",")]) for k in ("action.mid", "action.half"))
    episodes = []
    for path in sorted(glob.glob(f"{run}/rollouts/*.npz")):
        e = np.load(path)
        x = v.whiten(e["observations"])
        bonus = given["healthy_bonus"] * (1 - e["terminals"].astype(np.float64))
        episodes.append({
            "x": x, "z": v.encode(x)[0], "log_var": v.encode(x)[1], "a": (e["actions"] - mid) / half,
            "reward": e["rewards"].astype(np.float64), "rest": e["rewards"] - bonus, "end": e["terminals"].astype(np.float64),
        })
    held = [episodes[i] for i in given["held_out"]]
    train = [e for i, e in enumerate(episodes) if i not in given["held_out"]]
    rows = lambda some, f: np.concatenate([f(e) for e in some])
    out = {}

    # V beside principal components.
    x_train, x = rows(train, lambda e: e["x"]), rows(held, lambda e: e["x"])
    centre = x_train.mean(0)
    axes = np.linalg.svd(x_train - centre, full_matrices=False)[2][: m.Z].T
    pca = centre + (x - centre) @ axes @ axes.T
    decoded = mlp(v.t, "decoder", rows(held, lambda e: e["z"]))
    starts = np.cumsum([0] + [size for _, size in given["blocks"]])
    out["vae"] = {
        "nmse": share(x, decoded, centre), "pca_nmse": share(x, pca, centre),
        "blocks": [[share(x[:, a:b], p[:, a:b], centre[a:b]) for p in (decoded, pca)] for a, b in zip(starts, starts[1:])],
        "clipped_rows": (np.abs(x) >= v.clip).any(1).mean(),
    }
    mean, log_var = rows(held, lambda e: e["z"]), rows(held, lambda e: e["log_var"])
    out["vae"]["kl"] = (-0.5 * (1 + log_var - mean**2 - np.exp(log_var))).mean(0).tolist()

    # M one step ahead.
    inputs = lambda e: np.concatenate([e["z"][:-1], e["a"]], 1)
    linear, covariance = ridge(rows(train, inputs), rows(train, lambda e: e["z"][1:]))
    centre_z = rows(train, lambda e: e["z"][1:]).mean(0)
    truth, now = rows(held, lambda e: e["z"][1:]), rows(held, lambda e: e["z"][:-1])
    heads = []
    for e in held:
        state = (np.zeros(m.H), np.zeros(m.H))
        for z, a in zip(e["z"], e["a"]):
            head, state = m.step(z, a, state)
            heads.append(head)
    expected = np.array([h["weights"] @ h["means"] for h in heads])
    prediction = linear(rows(held, inputs))
    later = lambda e: 2 * e["z"][1:-1] - e["z"][:-2]
    out["latent"] = {
        "mdnrnn": share(truth, expected, centre_z), "ridge": share(truth, prediction, centre_z),
        "persistence": share(truth, now, centre_z),
        "velocity": share(rows(held, lambda e: e["z"][2:]), rows(held, later), centre_z),
    }
    next_x, centre_x = rows(held, lambda e: e["x"][1:]), rows(train, lambda e: e["x"][1:]).mean(0)
    whole = lambda e: np.concatenate([e["x"][:-1], e["a"]], 1)
    direct = ridge(rows(train, whole), rows(train, lambda e: e["x"][1:]))[0](rows(held, whole))
    out["observation"] = {
        "mdnrnn": share(next_x, mlp(v.t, "decoder", expected), centre_x),
        "ridge": share(next_x, mlp(v.t, "decoder", prediction), centre_x),
        "persistence": share(next_x, mlp(v.t, "decoder", now), centre_x),
        "reconstruction": share(next_x, mlp(v.t, "decoder", truth), centre_x),
        "direct_ridge": share(next_x, direct, centre_x),
    }
    nll, below = [], []
    for h, z in zip(heads, truth):
        scaled = (z - h["means"]) / np.exp(h["log_sigmas"])
        density = (-0.5 * scaled**2 - h["log_sigmas"] - 0.5 * math.log(2 * math.pi)).sum(1)
        nll.append(-np.log(h["weights"] @ np.exp(density - density.max())) - density.max())
        below.append(h["weights"] @ (0.5 * (1 + SAFE(scaled / math.sqrt(2)))))
    residual, variance = truth - prediction, np.diag(covariance)
    gaussian = 0.5 * (residual**2 / variance + np.log(2 * math.pi * variance)).sum(1)
    whitened = (residual @ np.linalg.inv(covariance) * residual).sum(1)
    joint = 0.5 * (whitened + np.linalg.slogdet(2 * math.pi * covariance)[1])
    inside = 2 * np.abs(np.array(below) - 0.5)
    z_score = np.abs(residual) / np.sqrt(variance)
    out["nll"] = [float(np.mean(values)) / m.Z for values in (nll, gaussian, joint)]
    levels = [0.05 * (i + 1) for i in range(19)]
    out["coverage"] = [[(inside <= p).mean(), (SAFE(z_score / math.sqrt(2)) <= p).mean()] for p in levels]

    # Reward and end.
    end = np.array([h["end"] for h in heads])
    reward = np.array([h["reward"] for h in heads])
    truths = [rows(held, lambda e: e["rest"]), rows(held, lambda e: e["reward"])]
    fitted = [ridge(rows(train, inputs), rows(train, lambda e: e[k])[:, None])[0](rows(held, inputs))[:, 0] for k in ("rest", "reward")]
    r2 = lambda t, p: 1 - share(t, p, t.mean())
    out["rest_r2"] = [r2(truths[0], reward - given["healthy_bonus"] * (1 - end)), r2(truths[0], fitted[0])]
    out["whole_r2"] = [r2(truths[1], reward), r2(truths[1], fitted[1])]
    out["brier"] = ((end - rows(held, lambda e: e["end"])) ** 2).mean()

    # Open loops of k steps from every step but an episode's first.
    loops = {k: [] for k in (1, 2, 3, 5, 8)}
    for e in held:
        state, before = (np.zeros(m.H), np.zeros(m.H)), []
        for z, a in zip(e["z"], e["a"]):
            before.append(state)
            _, state = m.step(z, a, state)
        for start in range(1, len(e["a"])):
            state, z, line = before[start], e["z"][start], e["z"][start]
            for k in range(1, min(max(loops), len(e["a"]) - start) + 1):
                head, state = m.step(z, e["a"][start + k - 1], state)
                z, line = head["weights"] @ head["means"], linear(np.concatenate([line, e["a"][start + k - 1]])[None])[0]
                if k in loops:
                    here = e["z"][start]
                    loops[k].append((e["z"][start + k], z, line, here, here + k * (here - e["z"][start - 1])))
    out["open_loop"] = {}
    for k, found in loops.items():
        target, *predictions = (np.array(column) for column in zip(*found))
        out["open_loop"][k] = [len(found)] + [share(target, p, centre_z) for p in predictions]
    json.dump(out, sys.stdout)


main()
