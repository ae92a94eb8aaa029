"""MAML by the library `higher`: a differentiable inner optimizer for each task."""

import higher
import protocol
import torch
from torch import nn
from torch.nn import functional
from torch_peer import Mlp, result, tensor, tensors


def build(variant, workload, threads, inputs):
    torch.set_num_threads(threads)
    steps = int(workload.split("-")[1])
    network: nn.Module = Mlp([1, 40, 40, 1])
    network.load_state_dict(tensors(protocol.parts(inputs, "parameter")))
    outer = torch.optim.SGD(network.parameters(), lr=float(inputs["meta_lr"]))
    inner = torch.optim.SGD(network.parameters(), lr=float(inputs["lr"]))
    data = [tensor(inputs[name]) for name in ("x", "y", "x_query", "y_query")]
    tasks = len(data[0])

    def run():
        outer.zero_grad()
        total = 0.0
        for x, y, x_query, y_query in zip(*data):
            context = higher.innerloop_ctx(network, inner, copy_initial_weights=False)
            with context as (adapted, optimizer):
                for _ in range(steps):
                    optimizer.step(functional.mse_loss(adapted(x), y))
                loss = functional.mse_loss(adapted(x_query), y_query) / tasks
                loss.backward()
                total += loss.detach()
        outer.step()
        return total

    return run, lambda loss: result(dict(network.named_parameters()), loss=loss), lambda: None


if __name__ == "__main__":
    protocol.serve(build)
