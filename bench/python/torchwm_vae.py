"""A run's frames through TorchWM's training of its ConvVAE, written from its description: what our V's reconstruction is compared with.

    torchwm_vae.py RUN [EPOCHS]

Batches of 32, Adam at 1e-3, the learning rate halved where six epochs bring nothing, half of the frames mirrored, summed squared error and KL
divergence, z drawn. It learns from the episodes that `dreamstep train --run RUN` learns from. A line of JSON an epoch says the squared error of a
held-out frame in [0, 1] from the mean latent, which is what `dreamstep report` measures, and the held-out loss, by which TorchWM keeps its best.
"""

import json
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch.optim.adam import adam
from training import Pictures

BATCH, RATE, LATENT = 32, 1e-3, 32
SPLIT = 3  # the stream of draws by which episodes are held out


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 (Salmon et al. 2011)."""
    for round in range(10):
        if round:
            key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b % 2**32, (a >> 32) ^ counter[3] ^ key[1], a % 2**32]
    return counter


def frames(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of the episodes that train, and of those held out."""
    config = tomllib.loads((run / "config.toml").read_text())
    seed, parts = config["seed"], ([], [])
    for episode, file in enumerate(sorted((run / "rollouts").glob("*.npz"))):
        word = philox([0, episode % 2**32, episode >> 32, SPLIT], [seed % 2**32, seed >> 32])[0]
        held_out = ((word >> 9) + 0.5) / 2**23 < config["vae"]["validation"]
        with np.load(file) as arrays:
            parts[held_out].append(arrays["observations"])
    return tuple(np.concatenate(part) for part in parts)


def numbers(batch: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous().float() / 255


def loss(model: Pictures, x: torch.Tensor) -> torch.Tensor:
    mean, log_sigma = model.encoder(x)
    decoded = model.decoder(mean + log_sigma.exp() * torch.randn_like(mean))
    return (decoded - x).square().sum() - 0.5 * (1 + 2 * log_sigma - mean.square() - (2 * log_sigma).exp()).sum()


def main() -> None:
    run, epochs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, held_out = frames(run)
    model, rate, best, since = Pictures(LATENT), RATE, float("inf"), 0
    weights = list(model.parameters())
    # `torch.optim.Adam` is this function, but loads a compiler that wants packages of its own.
    means, squares = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    steps = [torch.zeros(()) for _ in weights]
    for epoch in range(1, epochs + 1):
        start = time.process_time()
        for rows in torch.randperm(len(train)).numpy()[: len(train) // BATCH * BATCH].reshape(-1, BATCH):
            x = numbers(train[rows])
            mirrored = torch.rand(len(x)) < 0.5
            x[mirrored] = x[mirrored].flip(3)
            gradients = list(torch.autograd.grad(loss(model, x), weights))
            with torch.no_grad():
                adam(weights, gradients, means, squares, [], steps, foreach=False, amsgrad=False, beta1=0.9, beta2=0.999, lr=rate,
                     weight_decay=0.0, eps=1e-8, maximize=False)
        seconds = time.process_time() - start
        with torch.no_grad():
            parts = [numbers(part) for part in np.array_split(held_out, max(1, len(held_out) // 256))]
            held_out_loss = sum(loss(model, x).item() for x in parts) / len(held_out)
            error = sum((model.decoder(model.encoder(x)[0]) - x).square().sum().item() for x in parts) / len(held_out)
        is_best = held_out_loss < best
        best, since = (held_out_loss, 0) if is_best else (best, since + 1)
        if since > 5:
            rate, since = rate / 2, 0
        print(json.dumps({"epoch": epoch, "squared_error": error, "loss": held_out_loss, "best": is_best, "rate": rate,
                          "frames": [len(train), len(held_out)], "frames_per_s": len(train) / seconds}), flush=True)


if __name__ == "__main__":
    main()
