"""Opens a run's V, M and C in numpy and acts with them: every number of a step, without a framework.

    python open_in_numpy.py RUN

The packed agent in the run holds recorded observations and the actions that dreamstep's runtime answers them with; what is computed here
must be the same to 1e-5.
"""

import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file


def affine(tensors, layer, x):
    return tensors[f"{layer}.weight"] @ x + tensors[f"{layer}.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layers(tensors, name, hidden, activation, x):
    """Linear layers with what follows each hidden one; PyTorch's Sequential numbers them 0, 2, 4 …"""
    for i in range(hidden):
        x = activation(affine(tensors, f"{name}.{2 * i}", x))
    return affine(tensors, f"{name}.{2 * hidden}", x)


def relu(x):
    return np.maximum(x, 0)


def encode(tensors, metadata, x):
    """V's mean."""
    latent = int(metadata["dims.latent"])
    if metadata["v.kind"] == "identity":
        return x[:latent]
    return layers(tensors, "encoder", len(metadata["v.hidden"].split(",")), relu, x)[:latent]


def control(tensors, metadata, features):
    if metadata["c.kind"] == "linear":
        return affine(tensors, "fc", features)
    activation = {"tanh": np.tanh, "relu": relu}[metadata["c.activation"]]
    return layers(tensors, "fc", len(metadata["c.hidden"].split(",")), activation, features)


def act(metadata, packed, scores):
    """What M hears of an action, and what the environment takes."""
    if metadata["action.kind"] == "discrete":
        choice = np.argmax(scores)
        return np.eye(len(scores))[choice], np.array([choice])
    u = np.tanh(scores) if metadata["action.squash"] == "tanh" else np.clip(scores, -1, 1)
    return u, packed["action.mid"][: len(u)] + packed["action.half"][: len(u)] * u


def lstm(tensors, x, h, c):
    """PyTorch's LSTMCell: gates i, f, g, o."""
    gates = tensors["rnn.weight_ih_l0"] @ x + tensors["rnn.bias_ih_l0"] + tensors["rnn.weight_hh_l0"] @ h + tensors["rnn.bias_hh_l0"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(tensors, x, h, c):
    """PyTorch's GRUCell: gates r, z, n; no c."""
    of_input = np.split(tensors["rnn.weight_ih_l0"] @ x + tensors["rnn.bias_ih_l0"], 3)
    of_h = np.split(tensors["rnn.weight_hh_l0"] @ h + tensors["rnn.bias_hh_l0"], 3)
    r, z = sigmoid(of_input[0] + of_h[0]), sigmoid(of_input[1] + of_h[1])
    return (1 - z) * np.tanh(of_input[2] + r * of_h[2]) + z * h, c


def main(run):
    tensors = {}
    for part in ["vae", "mdnrnn", "controller"]:
        tensors.update(load_file(f"{run}/{part}.safetensors"))
    with safe_open(f"{run}/agent.safetensors", "np") as agent:
        metadata = agent.metadata()
        packed = {name: agent.get_tensor(name) for name in agent.keys() if not name.endswith(".panels")}
    observations, expected = packed["selftest.observations"][:, : int(metadata["dims.obs"])], packed["selftest.actions"]
    clip = float(metadata["observation.clip"])

    h = c = np.zeros(tensors["rnn.weight_hh_l0"].shape[1])
    cell = gru if metadata["m.kind"] == "gru" else lstm
    worst = 0.0
    for observation, action in zip(observations, expected):
        x = np.clip((observation - tensors["normalizer.mean"]) * tensors["normalizer.inv_std"], -clip, clip)
        z = encode(tensors, metadata, x)
        u, acted = act(metadata, packed, control(tensors, metadata, np.concatenate([z, h])))
        worst = max(worst, np.abs(acted - action[: len(acted)]).max())
        h, c = cell(tensors, np.concatenate([u, z]), h, c)
    print(f"{len(observations)} steps, largest difference from dreamstep's actions {worst:.1e}")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
