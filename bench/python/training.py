"""One optimiser step of V or M in PyTorch, for bench/src/throughput/training.rs to compare with: written from the paper and the
trainer's documentation, as one would write it in Python.

    training.py NETWORK FILE DEVICE SETTINGS

NETWORK is vae, pictures (V of 64 x 64 x 3 bytes) or mdnrnn; FILE an npz with the initial weights, under PyTorch's names, and the batch; SETTINGS a JSON object. Each
line of standard input is a number of steps; the answer is {"seconds": their time, "losses": [the loss before each step]}. Time is the
processor's on the CPU, the wall's on a GPU. Reading each loss waits for the device.
"""

import argparse
import json
import math
import sys
import time

try:
    import numpy as np
    import torch
    from torch import nn
    from torch.optim.adam import adam
except ImportError as error:
    print(json.dumps({"missing": str(error).splitlines()[0]}), flush=True)
    sys.exit()


class Vae(nn.Module):
    def __init__(self, obs: int, hidden: list[int], latent: int) -> None:
        super().__init__()
        first, second = hidden
        self.encoder = nn.Sequential(
            nn.Linear(obs, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, second), nn.ReLU(), nn.Linear(second, first), nn.ReLU(), nn.Linear(first, obs)
        )

    def loss(self, batch: dict, s: dict) -> torch.Tensor:
        mean, log_var = self.encoder(batch["x"]).chunk(2, dim=1)
        log_var = log_var.clamp(*s["log_var_range"])
        z = mean + (0.5 * log_var).exp() * batch["noise"]
        reconstruction = (self.decoder(z) - batch["x"]).square().sum(1).mean()
        kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1)
        return reconstruction + s["kl_weight"] * kl.clamp_min(s["kl_tolerance"] * s["latent"]).mean()


class Encoder(nn.Module):
    """Ha & Schmidhuber's, as ctallec's and TorchWM's VAEs have it."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 128, 4, stride=2)
        self.conv4 = nn.Conv2d(128, 256, 4, stride=2)
        self.fc_mu = nn.Linear(1024, latent)
        self.fc_logsigma = nn.Linear(1024, latent)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in [self.conv1, self.conv2, self.conv3, self.conv4]:
            x = nn.functional.relu(layer(x))
        x = x.flatten(1)
        return self.fc_mu(x), self.fc_logsigma(x)


class Decoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(latent, 1024)
        self.deconv1 = nn.ConvTranspose2d(1024, 128, 5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(128, 64, 5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(64, 32, 6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(32, 3, 6, stride=2)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.fc1(z))[:, :, None, None]
        for layer in [self.deconv1, self.deconv2, self.deconv3]:
            x = nn.functional.relu(layer(x))
        return self.deconv4(x).sigmoid()


class Pictures(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(latent), Decoder(latent)

    def loss(self, batch: dict, s: dict) -> torch.Tensor:
        # Channels first in memory, too: on processors no slower than channels last.
        x = batch["x"].view(-1, 64, 64, 3).permute(0, 3, 1, 2).contiguous().float() / 255
        mean, log_sigma = self.encoder(x)
        log_var = (2 * log_sigma).clamp(*s["log_var_range"])
        z = mean + (0.5 * log_var).exp() * batch["noise"]
        reconstruction = (self.decoder(z) - x).square().sum((1, 2, 3)).mean()
        kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1)
        return reconstruction + s["kl_weight"] * kl.clamp_min(s["kl_tolerance"] * s["latent"]).mean()


class MdnRnn(nn.Module):
    def __init__(self, action: int, latent: int, hidden: int, mixtures: int) -> None:
        super().__init__()
        self.sizes = [mixtures * latent, mixtures * latent, mixtures, 1, 1]
        self.rnn = nn.LSTM(action + latent, hidden)
        self.gmm_linear = nn.Linear(hidden, sum(self.sizes))

    def loss(self, batch: dict, s: dict) -> torch.Tensor:
        inputs = torch.cat([batch["action"], batch["z"]], 1)
        packed = nn.utils.rnn.PackedSequence(inputs, batch["sizes"])
        hidden = self.rnn(packed, (batch["h"].unsqueeze(0), batch["c"].unsqueeze(0)))[0].data
        means, log_sigmas, logits, reward, terminal = self.gmm_linear(hidden).split(self.sizes, dim=1)
        shape = (-1, s["mixtures"], s["latent"])
        means, log_sigmas = means.reshape(shape), log_sigmas.reshape(shape).clamp_min(s["log_sigma_min"])
        scaled = (batch["next"].unsqueeze(1) - means) * (-log_sigmas).exp()
        log_density = -(0.5 * scaled.square() + log_sigmas).sum(2) - 0.5 * s["latent"] * math.log(2 * math.pi)
        nll = -(logits.log_softmax(-1) + log_density).logsumexp(1).mean() / s["latent"]
        error = (reward.squeeze(1) - (batch["reward"] - s["reward_offset"])).square().mean() / s["reward_variance"]
        ends = nn.functional.binary_cross_entropy_with_logits(terminal.squeeze(1), batch["terminal"])
        return nll + s["reward_weight"] * error + s["terminal_weight"] * ends


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=["vae", "pictures", "mdnrnn"])
    parser.add_argument("file")
    parser.add_argument("device")
    parser.add_argument("settings", type=json.loads)
    arguments = parser.parse_args()
    s, device = arguments.settings, torch.device(arguments.device)
    torch.set_num_threads(1)
    if arguments.network == "vae":
        model = Vae(s["obs"], s["hidden"], s["latent"])
    elif arguments.network == "pictures":
        model = Pictures(s["latent"])
    else:
        model = MdnRnn(s["action"], s["latent"], s["hidden"], s["mixtures"])
    with np.load(arguments.file) as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    model.load_state_dict({name: tensors.pop(name) for name in model.state_dict()})
    model.to(device)
    # The lengths of packed sequences stay on the host.
    batch = {name: tensor if name == "sizes" else tensor.to(device) for name, tensor in tensors.items()}
    # `torch.optim.Adam` computes this function, but loads a compiler that wants packages of its own.
    weights = list(model.parameters())
    means, squares = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    updates = [torch.zeros((), device="cpu") for _ in weights]
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    print(json.dumps({"version": f"PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        losses = []
        start = clock()
        for _ in range(json.loads(line)):
            model.zero_grad()
            loss = model.loss(batch, s)
            loss.backward()
            if "grad_clip" in s:
                nn.utils.clip_grad_norm_(model.parameters(), s["grad_clip"])
            with torch.no_grad():
                adam(weights, [w.grad for w in weights], means, squares, [], updates, amsgrad=False, beta1=0.9, beta2=0.999,
                     lr=s["learning_rate"], weight_decay=0.0, eps=1e-8, maximize=False)
            losses.append(loss.item())
        print(json.dumps({"seconds": clock() - start, "losses": losses}), flush=True)


if __name__ == "__main__":
    main()
