"""PyTorch's side of the surfaces of `bench/run`: a loop over points, in channels-last layout, eager or
with a compiled network."""

import protocol
import torch
from torch import nn
from torch.nn import functional
from torch_peer import Block

BATCH = 128


class ResNet20(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inner = width
        for number, stride in enumerate([1, 2, 2]):
            outer = width * 2**number
            first = Block(inner, outer, stride, nn.BatchNorm2d)
            rest = [Block(outer, outer, 1, nn.BatchNorm2d) for _ in range(2)]
            setattr(self, f"layer{number + 1}", nn.Sequential(first, *rest))
            inner = outer
        self.fc = nn.Linear(inner, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def build(variant, workload, threads, inputs):
    torch.set_num_threads(threads)
    centre, along_x, along_y = (
        {name: torch.from_numpy(a) for name, a in protocol.parts(inputs, prefix).items()}
        for prefix in ("centre", "along-x", "along-y")
    )
    width, channels = centre["conv1.weight"].shape[:2]
    network = ResNet20(channels, width)
    network.load_state_dict(centre, strict=False)
    network = network.eval().to(memory_format=torch.channels_last)
    forward = torch.compile(network) if variant.endswith("compile") else network
    images = torch.from_numpy(inputs["x"]).movedim(-1, 1)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(inputs["y"]).long()
    points = inputs["at"].tolist()

    def loss():
        parts = zip(images.split(BATCH), labels.split(BATCH))
        each = [functional.cross_entropy(forward(x), y, reduction="sum") for x, y in parts]
        return torch.stack(each).double().sum() / len(labels)

    def run():
        losses = []
        with torch.no_grad():
            for a, b in points:
                for name, parameter in network.named_parameters():
                    parameter.copy_(centre[name] + a * along_x[name] + b * along_y[name])
                losses.append(loss())
        return torch.stack(losses)

    return run, lambda losses: {"losses": losses.numpy()}, lambda: None


if __name__ == "__main__":
    protocol.serve(build)
