"""The main job of `thalweg map` in PyTorch: `map_peer.py DIGITS THREADS` trains ResNet-44 of width 4
with and without skips on the embedded digits and evaluates 31 x 31 points of each one's surface on
512 examples, filter-normalised, normalisation and biases held. It prints seconds and accuracies as
JSON. Curvature, sharpness and roughness, which `thalweg map` has beside these, are left out.
"""

import json
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional

WIDTH, DEPTH, POINTS, EXAMPLES = 4, 44, 31, 512
EPOCHS, BATCH, RATE, TEST = 20, 64, 0.1, 359


class Block(nn.Module):
    def __init__(self, inner, outer, stride, skip):
        super().__init__()
        self.skip = skip
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = nn.Identity()
        if skip and (stride != 1 or inner != outer):
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.downsample(x) if self.skip else y)


def network(skip):
    blocks, inner = [], WIDTH
    for number in range(3):
        outer = WIDTH * 2**number
        for i in range((DEPTH - 2) // 6):
            blocks.append(Block(inner, outer, 2 if i == 0 and number > 0 else 1, skip))
            inner = outer
    stem = [nn.Conv2d(1, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 10)]
    return nn.Sequential(*stem, *blocks, *head).to(memory_format=torch.channels_last)


def train(net, x, y):
    steps = EPOCHS * -(-len(y) // BATCH)
    optimizer = torch.optim.SGD(
        net.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    net.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    net.eval()


def surface(net, x, y):
    moved = [p for p in net.parameters() if p.dim() > 1]
    centre = [p.detach().clone() for p in moved]

    def direction():
        drawn = [torch.randn_like(p) for p in centre]
        norm = lambda p: p.flatten(1).norm(dim=1).reshape(-1, *[1] * (p.dim() - 1))
        return [d * norm(p) / (norm(d) + 1e-10) for d, p in zip(drawn, centre)]

    along_x, along_y = direction(), direction()
    places = torch.linspace(-1, 1, POINTS).tolist()
    losses = []
    with torch.no_grad():
        for b in places:
            for a in places:
                for p, c, d, e in zip(moved, centre, along_x, along_y):
                    p.copy_(c + a * d + b * e)
                losses.append(functional.cross_entropy(net(x), y).item())
        for p, c in zip(moved, centre):
            p.copy_(c)
    return losses


def main():
    path, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    raw = numpy.fromfile(path, dtype=numpy.uint8)
    n = len(raw) // 65
    x = torch.from_numpy(raw[: n * 64].reshape(n, 1, 8, 8).astype(numpy.float32))
    x = ((x - x.mean()) / x.std()).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(raw[n * 64 :].astype(numpy.int64))
    order = torch.randperm(n)
    test, rest = order[:TEST], order[TEST:]
    found = {"train": 0.0, "surface": 0.0, "accuracy": []}
    for skip in (True, False):
        net = network(skip)
        begun = time.perf_counter()
        train(net, x[rest], y[rest])
        trained = time.perf_counter()
        surface(net, x[rest[:EXAMPLES]], y[rest[:EXAMPLES]])
        found["train"] += trained - begun
        found["surface"] += time.perf_counter() - trained
        with torch.no_grad():
            right = (net(x[test]).argmax(1) == y[test]).float().mean().item()
        found["accuracy"].append(right)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
