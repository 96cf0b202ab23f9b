"""A convolutional VAE in PyTorch as TorchWM's and ctallec's world-models have it, and a run's V opened as one.

    python convolutional_vae.py save FOLDER       # with an MDRNN and a controller: world.safetensors, and frames.npz to try them on
    dreamstep import-weights --run RUN --set env=ENV FOLDER/world.safetensors
    python convolutional_vae.py open RUN/vae.safetensors FRAMES.npz

`save` writes what the three answer to the frames, acting: answers.json. `open` loads a checkpoint of dreamstep's by `load_state_dict`, whatever
its convolutions are, and prints the mean latent of each frame, then the first frame as it is decoded from its own.
"""

import json
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

CONVOLUTIONS = "32:4:2:0,64:4:2:0,128:4:2:0,256:4:2:0"
DECODER = "1x1x1024,128:5:2:0,64:5:2:0,32:6:2:0,3:6:2:0"


def layers(text):
    """Channels, kernel, stride and padding of each."""
    return [[int(number) for number in layer.split(":")] for layer in text.split(",")]


class Encoder(nn.Module):
    def __init__(self, frame, convolutions, latent):
        super().__init__()
        (height, width, channels), self.convolutions = frame, []
        for i, (n, kernel, stride, padding) in enumerate(layers(convolutions), 1):
            convolution = nn.Conv2d(channels, n, kernel, stride, padding)
            self.add_module(f"conv{i}", convolution)
            self.convolutions.append(convolution)
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
            channels = n
        self.fc_mu = nn.Linear(channels * height * width, latent)
        self.fc_logsigma = nn.Linear(channels * height * width, latent)

    def forward(self, x):
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        x = x.reshape(len(x), -1)
        return self.fc_mu(x), self.fc_logsigma(x)


class Decoder(nn.Module):
    def __init__(self, decoder, latent):
        super().__init__()
        start, _, rest = decoder.partition(",")
        (height, width, channels), self.convolutions = map(int, start.split("x")), []
        self.start = (channels, height, width)
        self.fc1 = nn.Linear(latent, channels * height * width)
        for i, (n, kernel, stride, padding) in enumerate(layers(rest), 1):
            convolution = nn.ConvTranspose2d(channels, n, kernel, stride, padding)
            self.add_module(f"deconv{i}", convolution)
            self.convolutions.append(convolution)
            channels = n

    def forward(self, z):
        x = F.relu(self.fc1(z)).reshape(len(z), *self.start)
        for convolution in self.convolutions[:-1]:
            x = F.relu(convolution(x))
        return torch.sigmoid(self.convolutions[-1](x))


class VAE(nn.Module):
    def __init__(self, frame, convolutions, decoder, latent):
        super().__init__()
        self.encoder = Encoder(frame, convolutions, latent)
        self.decoder = Decoder(decoder, latent)


def inputs(frames):
    """Bytes [N, h, w, c] as torchvision's ToTensor has them."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def save(folder, latent=32, hidden=64, mixtures=5, actions=3, steps=8):
    torch.manual_seed(0)
    vae = VAE((64, 64, 3), CONVOLUTIONS, DECODER, latent)
    rnn = nn.LSTMCell(actions + latent, hidden)
    gmm_linear = nn.Linear(hidden, (2 * latent + 1) * mixtures + 2)
    fc = nn.Linear(latent + hidden, actions)
    with torch.no_grad():
        # As lively as trained ones, and actions that no limit cuts.
        for parameter in vae.parameters():
            parameter *= 1.5
        fc.weight *= 0.3
    state = {f"module.{name}": tensor for name, tensor in vae.state_dict().items()}
    for name, part in [("rnn", rnn), ("gmm_linear", gmm_linear), ("fc", fc)]:
        state.update({f"{name}.{key}": tensor for key, tensor in part.state_dict().items()})
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, f"{folder}/world.safetensors")

    y, x, c, t = np.ogrid[:64, :64, :3, : steps + 1]
    frames = (127 + 60 * np.sin(0.1 * x * (1 + c) + t) + 60 * np.cos(0.07 * y - 2 * t)).transpose(3, 0, 1, 2).astype(np.uint8)
    rng = np.random.default_rng(0)
    frames[:, 10:30, 20:40] = rng.integers(0, 256, (steps + 1, 20, 20, 3), dtype=np.uint8)
    np.savez(
        f"{folder}/frames.npz",
        observations=frames,
        actions=rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        rewards=np.zeros(steps, np.float32),
        terminals=np.zeros(steps, bool),
    )
    h, cell = torch.zeros(1, hidden), torch.zeros(1, hidden)
    answers = {"mean": [], "log_sigma": [], "action": [], "hidden": []}
    with torch.no_grad():
        for frame in frames[:, None]:
            mean, log_sigma = vae.encoder(inputs(frame))
            action = fc(torch.cat([mean, h], 1))
            h, cell = rnn(torch.cat([action, mean], 1), (h, cell))
            for name, value in [("mean", mean), ("log_sigma", log_sigma), ("action", action), ("hidden", h)]:
                answers[name].append(value[0].tolist())
        decoded = vae.decoder(torch.tensor(answers["mean"][:1]))
    answers["decoded"] = decoded[0].permute(1, 2, 0).flatten().tolist()
    with open(f"{folder}/answers.json", "w") as file:
        json.dump(answers, file)


def open_checkpoint(path, frames):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    frame = [int(metadata[f"observation.{side}"]) for side in ("height", "width", "channels")]
    vae = VAE(frame, metadata["v.convolutions"], metadata["v.decoder"], int(metadata["dims.latent"]))
    vae.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        x = inputs(np.load(frames)["observations"]) * 255 * float(metadata["observation.scale"])
        mean, _ = vae.encoder(x)
        decoded = vae.decoder(mean[:1])[0].permute(1, 2, 0).flatten()
    print(json.dumps({"mean": mean.tolist(), "decoded": decoded.tolist()}))


if __name__ == "__main__":
    save(sys.argv[2]) if sys.argv[1] == "save" else open_checkpoint(*sys.argv[2:])
