"""Opens a run's V, M and C in PyTorch, under the names that they have, and acts with them.

    python open_in_pytorch.py RUN

The checkpoints are state dicts: `load_state_dict(strict=True)` takes them. The packed agent in the run holds recorded observations and the
actions that dreamstep's runtime answers them with; the modules below must answer the same to 1e-5.
"""

import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn


class WorldModel(nn.Module):
    """Sizes follow from the tensors' shapes."""

    def __init__(self, tensors):
        super().__init__()
        shape = lambda name: tensors[name].shape
        o, (e1, e2) = shape("normalizer.mean")[0], (shape("encoder.0.bias")[0], shape("encoder.2.bias")[0])
        z, h = shape("encoder.4.bias")[0] // 2, shape("rnn.weight_hh_l0")[1]
        a, head = shape("fc.bias")[0], shape("gmm_linear.bias")[0]
        self.normalizer = nn.Module()
        self.normalizer.register_buffer("mean", torch.zeros(o))
        self.normalizer.register_buffer("inv_std", torch.ones(o))
        layers = lambda *sizes: nn.Sequential(
            nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:3]), nn.ReLU(), nn.Linear(*sizes[2:])
        )
        self.encoder = layers(o, e1, e2, 2 * z)  # means, then log-variances
        self.decoder = layers(z, e2, e1, o)
        # Input [action, z], the action in [-1, 1], or one-hot; four gates of an LSTM, or three of a GRU.
        self.rnn = (nn.GRU if shape("rnn.bias_hh_l0")[0] == 3 * h else nn.LSTM)(a + z, h)
        self.gmm_linear = nn.Linear(h, head)  # means [K,Z], log-sigmas [K,Z], logits [K], reward, terminal logit
        self.fc = nn.Linear(z + h, a)  # input [z, h]

    def encode(self, observation, clip):
        x = (observation - self.normalizer.mean) * self.normalizer.inv_std
        return self.encoder(x.clamp(-clip, clip)).chunk(2, -1)


def act(metadata, packed, scores):
    """What M hears of an action, and what the environment takes."""
    if metadata["action.kind"] == "discrete":
        choice = scores.argmax()
        return nn.functional.one_hot(choice, len(scores)).float(), choice[None]
    u = scores.tanh() if metadata["action.squash"] == "tanh" else scores.clamp(-1, 1)
    return u, packed["action.mid"][: len(u)] + packed["action.half"][: len(u)] * u


def main(run):
    tensors, metadata = {}, {}
    for part in ["vae", "mdnrnn", "controller"]:
        tensors.update(load_file(f"{run}/{part}.safetensors"))
    with safe_open(f"{run}/agent.safetensors", "pt") as agent:
        metadata = agent.metadata()
        packed = {name: agent.get_tensor(name) for name in agent.keys() if not name.endswith(".panels")}
    model = WorldModel(tensors)
    model.load_state_dict(tensors, strict=True)
    o, h = len(tensors["normalizer.mean"]), model.rnn.hidden_size
    observations, expected = packed["selftest.observations"][:, :o], packed["selftest.actions"]

    state = torch.zeros(1, h) if isinstance(model.rnn, nn.GRU) else (torch.zeros(1, h), torch.zeros(1, h))
    worst = 0.0
    with torch.no_grad():
        for observation, action in zip(observations, expected):
            z, _ = model.encode(observation, float(metadata["observation.clip"]))
            scores = model.fc(torch.cat([z, state[0] if isinstance(model.rnn, nn.GRU) else state[0][0]]))
            u, acted = act(metadata, packed, scores)
            worst = max(worst, (acted - action[: len(acted)]).abs().max().item())
            _, state = model.rnn(torch.cat([u, z])[None], state)
    print(f"{len(observations)} steps, largest difference from dreamstep's actions {worst:.1e}")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
