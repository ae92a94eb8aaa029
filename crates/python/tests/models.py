"""Networks of PyTorch's with odd parts, trained a little: what importers stumble over."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.down = nn.Conv2d(channels, reduced, 1)
        self.up = nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        scale = functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.up(functional.silu(self.down(scale))))


class Mobile(nn.Module):
    """Depthwise separable convolutions, batch norm, squeeze-excite, hard swish."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.se = SqueezeExcite(8, 3)
        self.pointwise = nn.Conv2d(8, 12, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = functional.hardswish(self.bn1(self.stem(x)))
        x = self.se(functional.hardswish(self.bn2(self.depthwise(x))))
        x = functional.relu6(self.bn3(self.pointwise(x)))
        return self.fc(x.mean((2, 3)))


class Dilated(nn.Module):
    """Dilations, reflection of borders, group norm, a skip by concatenation, softplus."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 6, 3, padding=2, dilation=2)
        self.norm = nn.GroupNorm(3, 6)
        self.b = nn.Conv2d(6, 6, (1, 3), padding=(0, 3), dilation=(1, 3))
        self.c = nn.Conv2d(12, 4, 3, stride=(2, 1))
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        a = functional.softplus(self.norm(self.a(functional.pad(x, (1, 1, 1, 1), mode="reflect"))))
        b = torch.cat([a, torch.tanh(self.b(a))], 1)
        return self.fc(functional.max_pool2d(functional.gelu(self.c(b)), 2).mean((2, 3)))


class Grouped(nn.Module):
    """Grouped convolutions, average pools that count no padding, shuffled channels."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 16, 3, groups=4)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = functional.leaky_relu(self.bn(self.a(x)), 0.2)
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(torch.amax(self.pool(functional.elu(self.b(x))), (2, 3)))


class Attentive(nn.Module):
    """A small vision transformer: patches, positions, attention, layer norm."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 2, stride=2)
        self.positions = nn.Parameter(torch.randn(1, 16, 8) * 0.1)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, t, d))
        x = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return self.head(x.mean(1))


class Recurrent(nn.Module):
    """Rows of an image through an LSTM, then a GRU in both directions."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.gru = nn.GRU(6, 4, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        rows, _ = self.lstm(x[:, 0])
        rows, _ = self.gru(rows)
        return self.fc(rows[:, -1])


class Upsampled(nn.Module):
    """A U-net's shape: down, up by transposed convolution and by interpolation, a skip."""

    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(1, 4, 3, padding=1)
        self.down2 = nn.Conv2d(4, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 5, 1)

    def forward(self, x):
        a = torch.relu(self.down1(x))
        b = torch.relu(self.down2(functional.max_pool2d(a, 2)))
        c = functional.interpolate(self.up(b), scale_factor=2.0, mode="nearest")
        c = functional.avg_pool2d(c, 2)
        return self.last(torch.relu(self.bn(torch.cat([a, c], 1)))).mean((2, 3))


class Dense(nn.Module):
    """Dense connections, batch norm before each activation, a bilinear head."""

    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.norm = nn.BatchNorm1d(64)
        self.a, self.b = nn.Linear(64, 10), nn.Linear(74, 8)
        self.mix = nn.Bilinear(8, 10, 5)

    def forward(self, x):
        x = self.norm(self.flat(x))
        a = functional.mish(self.a(x))
        b = functional.hardtanh(self.b(torch.cat([x, a], 1)))
        return self.mix(b, a)


class Einsums(nn.Module):
    """Products by einsum, RMS norm by hand, gated units, a tensor as a parameter."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 8, 6) * 0.2)
        self.scale = nn.Parameter(torch.ones(6))
        self.gate = nn.Linear(6, 12)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.einsum("bhw,hwk->bk", x[:, 0], self.w)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.scale
        return self.fc(functional.glu(self.gate(x), -1))


ALL = {
    "mobile": Mobile,
    "dilated": Dilated,
    "grouped": Grouped,
    "attentive": Attentive,
    "recurrent": Recurrent,
    "upsampled": Upsampled,
    "dense": Dense,
    "einsums": Einsums,
}


def data(n=48):
    """Images [n, 1, 8, 8] and labels of five classes that can be told apart."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.arange(n) % 5
    centres = torch.randn(5, 1, 8, 8, generator=generator)
    return centres[labels] + 0.7 * torch.randn(n, 1, 8, 8, generator=generator), labels


def trained(name, steps=12):
    """The network after a few steps, in evaluation."""
    torch.manual_seed(sum(map(ord, name)))
    network = ALL[name]()
    inputs, labels = data()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    return network.eval()


class Reference:
    """The network's loss as a function of one vector, in f64."""

    def __init__(self, network, inputs, labels):
        self.network = network.double()
        self.inputs, self.labels = inputs.double(), labels
        self.named = dict(self.network.named_parameters())
        self.buffers = dict(self.network.named_buffers())
        self.flat = torch.cat([p.detach().reshape(-1) for p in self.named.values()])

    def unflatten(self, flat):
        found, first = {}, 0
        for name, parameter in self.named.items():
            end = first + parameter.numel()
            found[name] = flat[first:end].reshape(parameter.shape)
            first = end
        return found

    def loss(self, flat):
        weights = {**self.unflatten(flat), **self.buffers}
        # Fused attention has no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            outputs = torch.func.functional_call(self.network, weights, (self.inputs,))
        return functional.cross_entropy(outputs, self.labels)

    def hessian(self):
        # Row by row over a graph that is kept: rules for batches of them are not there for all.
        flat = self.flat.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(flat), flat, create_graph=True)
        rows = [torch.autograd.grad(g, flat, retain_graph=True)[0] for g in gradient]
        return torch.stack(rows).numpy()
