"""Builds an MDN-RNN in PyTorch as TorchWM and ctallec's world-models do, and saves its state dict as safetensors.

    python save_mdnrnn.py OUT.safetensors ACTION LATENT HIDDEN MIXTURES
    dreamstep import-weights --run RUN --set env=ENV OUT.safetensors

Prints, for the input [action, z] = 0.01, 0.02, … from the zero state, the outputs of its head: what dreamstep must come to.
"""

import sys

import torch
from safetensors.torch import save_file
from torch import nn


class MDRNN(nn.Module):
    """Head: means [K,Z], log-sigmas [K,Z], mixture logits [K], reward, terminal logit."""

    def __init__(self, latents, actions, hiddens, gaussians):
        super().__init__()
        self.rnn = nn.LSTM(latents + actions, hiddens)
        self.gmm_linear = nn.Linear(hiddens, (2 * latents + 1) * gaussians + 2)

    def forward(self, actions, latents):  # [T, B, A], [T, B, Z]
        outs, _ = self.rnn(torch.cat([actions, latents], dim=-1))
        return self.gmm_linear(outs)


def main(out, action, latent, hidden, mixtures):
    torch.manual_seed(0)
    model = MDRNN(latent, action, hidden, mixtures)
    save_file(model.state_dict(), out)
    x = 0.01 * torch.arange(1, action + latent + 1).float()[None, None]
    with torch.no_grad():
        head = model(*x.split([action, latent], -1))[0, 0]
    print(" ".join(f"{value:.9g}" for value in head.tolist()))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
