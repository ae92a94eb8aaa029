"""Thalweg and PyTorch on the same work, one round each in turn.

Workloads are on ResNet-20 (32x32x3, batch norm in training mode, batch 128, f32). PyTorch runs
eagerly in channels-last layout on as many threads as there are cores; each side is warmed up
before the rounds that count. A row gives the median time of each side and the median of the
rounds' ratios with the smallest and largest of them.
"""

import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as functional

ROUNDS = 9
WARM_UP = 3
BATCH = 128
WORKLOADS = ["loss", "gradient", "training", "hvp"]


class Block(torch.nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outer)
        self.conv2 = torch.nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outer)
        self.shortcut = torch.nn.Sequential()
        if stride != 1 or inner != outer:
            self.shortcut = torch.nn.Sequential(
                torch.nn.Conv2d(inner, outer, 1, stride, bias=False), torch.nn.BatchNorm2d(outer)
            )

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        blocks, inner = [], 16
        for width, stride in [(16, 1), (32, 2), (64, 2)]:
            for i in range(3):
                blocks.append(Block(inner, width, stride if i == 0 else 1))
                inner = width
        self.blocks = torch.nn.Sequential(*blocks)
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def peer(workload):
    torch.manual_seed(0)
    model = ResNet20().to(memory_format=torch.channels_last).train()
    x = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (BATCH,))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    direction = [torch.randn_like(p) for p in parameters]

    def loss():
        with torch.no_grad():
            functional.cross_entropy(model(x), y).item()

    def gradient():
        torch.autograd.grad(functional.cross_entropy(model(x), y), parameters)

    def training():
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    def hvp():
        first = torch.autograd.grad(
            functional.cross_entropy(model(x), y), parameters, create_graph=True
        )
        torch.autograd.grad(first, parameters, grad_outputs=direction)

    return {"loss": loss, "gradient": gradient, "training": training, "hvp": hvp}[workload]


def main():
    worker, chosen = sys.argv[1], sys.argv[2:] or WORKLOADS
    unknown = [name for name in chosen if name not in WORKLOADS]
    if unknown:
        sys.exit(f"workload {unknown[0]!r}: not one of {', '.join(WORKLOADS)}")
    threads = os.cpu_count()
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {threads} threads, {ROUNDS} rounds\n")
    print("| ResNet-20, batch 128 | Thalweg ms | PyTorch ms | times faster (smallest, largest) |")
    print("|---|---|---|---|")
    for workload in chosen:
        ours = subprocess.Popen(
            [worker, workload, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def one_of_ours():
            ours.stdin.write("\n")
            ours.stdin.flush()
            return float(ours.stdout.readline())

        theirs = peer(workload)
        times = []
        for round_number in range(WARM_UP + ROUNDS):
            own = one_of_ours()
            start = time.perf_counter()
            theirs()
            other = (time.perf_counter() - start) * 1e3
            if round_number >= WARM_UP:
                times.append((own, other))
        ours.stdin.close()
        ours.wait()
        ratios = sorted(other / own for own, other in times)
        print(
            f"| {workload} | {statistics.median(t[0] for t in times):.0f} "
            f"| {statistics.median(t[1] for t in times):.0f} "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
