"""What is measured, against whom, and how many times faster Thalweg is meant to be."""

from typing import NamedTuple


class Workload(NamedTuple):
    """A row of the table. Its `kind` says how it is run: a `graph` that both sides run, a `plan`
    that is compiled, a method of `curvature` that takes as many products as it needs, or the
    `start` of the program."""

    title: str
    peers: list
    target: str
    kind: str = "graph"


CURVATURE = ["torch", "curvlinops", "pyhessian"]
MAML = ["torch", "torch-func", "higher", "jax"]
MANY = ["torch-loop", "torch-loop-compile", "torch-func", "jax"]
LOOP = ["surface-loop", "surface-loop-compile"]

WORKLOADS = {
    "mlp-step": Workload(
        "MLP 784-256-10, batch 128: training step",
        ["torch", "torch-compile", "jax"],
        "1 x the best",
    ),
    "mlp-hvp": Workload(
        "the same: Hessian-vector product", ["torch", "torch-func", "jax"], "2 x the best"
    ),
    "resnet-loss": Workload(
        "ResNet-20, batch 128: loss",
        ["torch", "torch-nchw", "torch-compile", "jax"],
        "1.5 x the best",
    ),
    "resnet-step": Workload(
        "the same: training step",
        ["torch", "torch-nchw", "torch-compile", "jax"],
        "1.5 x the best",
    ),
    "resnet-gradient": Workload(
        "the same: gradient", ["torch", "torch-compile", "jax"], "at least equal to the best"
    ),
    "resnet-hvp": Workload("the same: one HVP", ["torch", "torch-func", "jax"], "2 x the best"),
    "resnet-8-hvps": Workload("the same: 8 HVPs", ["torch", "torch-func", "jax"], "3 x the best"),
    "resnet-16-losses": Workload(
        "16 ResNet-20 on one batch: losses", MANY, "4 x the loop, 10 x both vmaps"
    ),
    "resnet-16-steps": Workload(
        "16 ResNet-20 on own batches: training steps", MANY, "4 x the loop, 10 x both vmaps"
    ),
    "mlp-64-steps": Workload("64 MLPs on own batches: training steps", MANY, "2 x the best"),
    "curvature-eigenpairs": Workload(
        "ResNet-20 on 2,000 Fashion-MNIST images: top 10 eigenpairs to a residual of 1e-3",
        CURVATURE,
        "3 x the best",
        "curvature",
    ),
    "curvature-eigenpairs-short": Workload(
        "the same of 500 of the images", CURVATURE, "3 x the best", "curvature"
    ),
    "curvature-trace": Workload(
        "the same: trace to 5 %", CURVATURE, "3 x the best", "curvature"
    ),
    "curvature-density": Workload(
        "the same: spectral density of 10 probes, 2 of the 80 steps",
        CURVATURE,
        "3 x the best",
        "curvature",
    ),
    "maml-1": Workload(
        "MAML on sinusoids, 25 tasks, 1 inner step: meta-step", MAML, "20 x PyTorch, 2 x JAX"
    ),
    "maml-5": Workload("the same, 5 inner steps", MAML, "20 x PyTorch, 2 x JAX"),
    "data-weights-short": Workload(
        "gradient for 4,096 example weights through 100 SGD steps of the MLP", ["jax"], "1.5 x"
    ),
    "data-weights-400": Workload("the same through 400 steps", ["jax"], "1.5 x"),
    "data-weights": Workload("the same through 2,000 steps", ["jax"], "1.5 x"),
    "gpt-step": Workload(
        "GPT, 4 layers, 128 wide, context 128, batch 16: training step",
        ["torch", "torch-compile", "jax"],
        "1.2 x the best",
    ),
    "gpt-hvp": Workload("the same: one HVP", ["torch", "torch-func", "jax"], "2 x the best"),
    "surface-exact": Workload(
        "surface of ResNet-20 on 2,000 images, exact: 64 points", LOOP, "4 x"
    ),
    "surface-exact-8": Workload("the same of width 8", LOOP, ""),
    "surface-exact-short": Workload("the same on 256 images: 16 points", LOOP, ""),
    "plan-resnet-loss": Workload("plan of the ResNet-20 loss", ["jax-plan"], "10 x", "plan"),
    "plan-resnet-step": Workload(
        "plan of the ResNet-20 training step", ["jax-plan"], "10 x", "plan"
    ),
    "plan-resnet-hvp": Workload("plan of the ResNet-20 HVP", ["jax-plan"], "10 x", "plan"),
    "plan-resnet-8-hvps": Workload(
        "plan of the 8 ResNet-20 HVPs", ["jax-plan"], "10 x", "plan"
    ),
    "plan-gpt-step": Workload("plan of the GPT training step", ["jax-plan"], "10 x", "plan"),
    "plan-gpt-hvp": Workload("plan of the GPT HVP", ["jax-plan"], "10 x", "plan"),
    "start-map": Workload(
        "start of `thalweg map` to the first segment of training steps", [], "300 ms", "start"
    ),
}

QUICK = [
    "mlp-step",
    "mlp-hvp",
    "resnet-step",
    "resnet-hvp",
    "maml-1",
    "plan-resnet-step",
    "start-map",
]

# Steps, and the branching of Thalweg's tree of checkpoints, of the rows about memory.
LENGTHS = {"data-weights-short": (100, 10), "data-weights-400": (400, 20), "data-weights": (2000, 45)}
