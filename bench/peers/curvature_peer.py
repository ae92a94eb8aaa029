"""The curvature of a trained ResNet-20 in PyTorch: a loop of ours, curvlinops, PyHessian.

`torch` is what one writes by hand: products by double backward, Lanczos with full
reorthogonalisation and Thalweg's own stopping rule, Hutchinson's estimate of the trace.
`curvlinops` is its `HessianLinearOperator` under SciPy's `eigsh`, as its documentation shows, and
XTrace, the best of its estimates, with twice as many products until two agree. `pyhessian` is
PyHessian as it is. Who is not done in the time that it may take is stopped and says so.
"""

import time
import warnings

import numpy
import protocol
import torch
from torch import nn
from torch_peer import ResNet20, tensor

TOP, RESIDUAL = 10, 1e-3
TRACE_ERROR, FEWEST = 0.05, 8
PROBES, STEPS = 10, 2
BATCH = 125


class Enough(Exception):
    """A method has had as much time as it may take."""


class Spent:
    """Counts products, and before each ends a method that has taken its seconds."""

    def __init__(self, seconds):
        self.products, self.end = 0, time.perf_counter() + seconds

    def __call__(self, count=1):
        if time.perf_counter() > self.end:
            raise Enough
        self.products += count


class Product:
    """Products with the Hessian."""

    def __init__(self, network, data, spend):
        self.network, self.data, self.spend = network, data, spend
        self.parameters = list(network.parameters())
        self.dimension = sum(p.numel() for p in self.parameters)

    def __call__(self, vector):
        self.spend()
        pieces, start = [], 0
        for p in self.parameters:
            pieces.append(vector[start : start + p.numel()].view(p.shape))
            start += p.numel()
        total = torch.zeros(self.dimension)
        for x, y in self.data:
            loss = nn.functional.cross_entropy(self.network(x), y)
            first = torch.autograd.grad(loss, self.parameters, create_graph=True)
            second = torch.autograd.grad(first, self.parameters, grad_outputs=pieces)
            total += len(y) * torch.cat([g.reshape(-1) for g in second])
        return total / sum(len(y) for _, y in self.data)


def signs(n, count):
    return torch.randint(0, 2, (n, count)).float() * 2 - 1


def lanczos(product, start, steps, done):
    """Steps from a vector until `done` of the projection and the next off-diagonal entry."""
    basis, alphas, betas = [start / start.norm()], [], []
    for _ in range(steps):
        image = product(basis[-1])
        alphas.append(torch.dot(image, basis[-1]).item())
        known = torch.stack(basis)
        for _ in range(2):
            image -= known.T @ (known @ image)
        betas.append(image.norm().item())
        inner = betas[:-1]
        projection = numpy.diag(alphas) + numpy.diag(inner, 1) + numpy.diag(inner, -1)
        values, vectors = numpy.linalg.eigh(projection)
        if done(values, betas[-1] * abs(vectors[-1])):
            break
        basis.append(image / betas[-1])
    return values, betas[-1] * abs(vectors[-1]), vectors[0] ** 2


def eigenpairs(product, n):
    def done(values, residuals):
        return len(values) >= TOP and residuals[-TOP:].max() <= RESIDUAL * abs(values).max()

    values, residuals, _ = lanczos(product, torch.randn(n), 300, done)
    return values[::-1][:TOP], residuals[::-1][:TOP]


def trace(forms):
    """The mean of samples that come in blocks, as many as its standard error needs."""
    taken = []
    while True:
        taken.extend(forms())
        error = numpy.std(taken, ddof=1) / len(taken) ** 0.5 if len(taken) > 1 else numpy.inf
        if len(taken) >= FEWEST and error <= TRACE_ERROR * abs(numpy.mean(taken)):
            return numpy.mean(taken), error


def mean(samples):
    """Their mean and its standard error."""
    return numpy.mean(samples), numpy.std(samples, ddof=1) / len(samples) ** 0.5


def by_hand(part, network, data, spend):
    product = Product(network, data, spend)
    n = product.dimension
    if part == "eigenpairs":
        value, error = eigenpairs(product, n)
    elif part == "trace":

        def form():
            z = signs(n, 1)[:, 0]
            return [torch.dot(z, product(z)).item()]

        value, error = trace(form)
    else:
        moments = []
        for _ in range(PROBES):
            start = signs(n, 1)[:, 0]
            values, _, weights = lanczos(product, start, STEPS, lambda *_: False)
            moments.append(weights @ values)
        value, error = mean(moments)
    return value, error


def with_curvlinops(part, network, data, spend):
    from curvlinops import HessianLinearOperator, xtrace
    from curvlinops.papyan2020traces.spectrum import fast_lanczos
    from scipy.sparse.linalg import LinearOperator, eigsh

    class Products(HessianLinearOperator):
        def _matmat(self, M):
            spend(M[0].shape[-1])
            return super()._matmat(M)

    loss = nn.CrossEntropyLoss(reduction="mean")
    parameters = list(network.parameters())
    operator = Products(network, loss, parameters, data, check_deterministic=False)
    if part == "eigenpairs":
        by_scipy: LinearOperator = operator.to_scipy()
        values, vectors = eigsh(by_scipy, k=TOP, which="LA", tol=RESIDUAL)
        value = values[::-1]
    elif part == "trace":
        count, value, before = 16, xtrace(operator, 16).item(), numpy.inf
        while abs(value - before) > TRACE_ERROR * abs(value):
            count, before = 2 * count, value
            value = xtrace(operator, count).item()
    else:
        moments = []
        for _ in range(PROBES):
            values, vectors = fast_lanczos(operator, STEPS)
            moments.append((vectors[0] ** 2 @ values).item())
        return mean(moments)
    return value, None


def with_pyhessian(part, network, data, spend):
    from pyhessian import hessian

    class Products(hessian):
        def dataloader_hv_product(self, v):
            spend()
            return super().dataloader_hv_product(v)

    def removed(matrix, eigenvectors):
        """`torch.eig` as PyTorch had it until 1.13, for a symmetric matrix."""
        values, vectors = torch.linalg.eigh(matrix)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    torch.eig = removed
    method = Products(network, nn.CrossEntropyLoss(), dataloader=data, cuda=False)
    if part == "eigenpairs":
        return sorted(method.eigenvalues(top_n=TOP, tol=RESIDUAL)[0], reverse=True), None
    if part == "trace":
        return trace(lambda: method.trace(maxIter=1))
    found = zip(*method.density(iter=STEPS, n_v=PROBES))
    return mean([numpy.dot(nodes, weights) for nodes, weights in found])


WAYS = {"torch": by_hand, "curvlinops": with_curvlinops, "pyhessian": with_pyhessian}


def build(variant, workload, threads, inputs):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = ResNet20(nn.BatchNorm2d, channels=inputs["x"].shape[-1])
    weights = {name: tensor(a) for name, a in protocol.parts(inputs, "parameter").items()}
    network.load_state_dict(weights)
    network = network.eval().to(memory_format=torch.channels_last)
    images = torch.from_numpy(inputs["x"]).movedim(-1, -3)
    batches = zip(images.split(BATCH), tensor(inputs["y"]).split(BATCH))
    data = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in batches]

    def run(limit):
        spend = Spent(limit)
        try:
            part = workload.removeprefix("curvature-").removesuffix("-short")
            found = WAYS[variant](part, network, data, spend)
            return *found, spend.products, True
        except Enough:
            return [], None, spend.products, False

    def results(found):
        value, error, products, complete = found
        named = {"products": [products], "complete": [complete]}
        named |= {"value": numpy.atleast_1d(value)}
        named |= {} if error is None else {"error": numpy.atleast_1d(error)}
        return {name: numpy.asarray(array, numpy.float64) for name, array in named.items()}

    return run, results


if __name__ == "__main__":
    protocol.serve_long(build)
