"""Populations."""

import numpy as np
import pytest
import thalweg


def test_members_depend_on_their_own_seed_and_rate_alone(digits):
    model = thalweg.build("mlp hidden=8", (8, 8, 1), 10)
    settings = {"epochs": 2, "batch": 20, "start": "seeds"}
    together = model.train(*digits, seeds=range(3), lr=[0.05, 0.1], **settings)
    assert [(m.seed, m.lr) for m in together] == [(s, r) for r in (0.05, 0.1) for s in range(3)]
    alone = model.train(*digits, seeds=2, lr=0.1, **settings)[0]
    np.testing.assert_array_equal(together[5].loss, alone.loss)
    for name, array in alone.model.state_dict().items():
        np.testing.assert_array_equal(together[5].model.state_dict()[name], array)
    assert not np.array_equal(together[4].loss, alone.loss)


def test_training_begins_with_the_weights_of_the_model(trained, digits):
    population = trained.train(*digits, steps=1, batch=120, lr=0.0, seeds=[3, 4], precision="f64")
    for member in population:
        np.testing.assert_array_equal(
            member.model.parameters.flatten(), trained.parameters.flatten()
        )
        assert member.loss[0] == pytest.approx(trained.loss(*digits, precision="f64"), rel=1e-12)


def test_one_step_of_gradient_descent_is_one(trained, digits):
    member = trained.train(
        *digits, steps=1, batch=120, lr=0.1, optimizer="sgd", schedule="constant", precision="f64"
    )[0]
    expected = trained.parameters.to_parameters() - 0.1 * trained.gradient(*digits, precision="f64")
    np.testing.assert_allclose(
        member.model.parameters.flatten(), expected.flatten(), rtol=1e-10, atol=1e-13
    )
    norm = trained.gradient(*digits, precision="f64").norm()
    assert member.gradient_norm[0] == pytest.approx(norm, rel=1e-10)


def test_a_network_of_several_inputs_trains_as_in_torch(torch):
    pytest.importorskip("onnxscript")
    nn = torch.nn

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(6, 8)
            self.mix = nn.Linear(5, 8)
            self.norm = nn.BatchNorm1d(8)
            self.head = nn.Linear(8, 3)

        def forward(self, values, tokens):
            hidden = self.mix(values) + self.table(tokens).mean(1)
            return self.head(torch.tanh(self.norm(hidden)))

    torch.manual_seed(1)
    network = Both()
    values, tokens = torch.randn(40, 5), torch.randint(0, 6, (40, 4))
    labels = torch.arange(40) % 3
    model = thalweg.from_torch(network, (values[:2], tokens[:2]))
    member = model.train(
        [values, tokens], labels, steps=4, batch=40, lr=0.2, precision="f64",
        optimizer="momentum", schedule="constant", validation=([values, tokens], labels),
    )[0]  # fmt: skip
    network.double().train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)
    for step in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(values.double(), tokens), labels)
        assert member.loss[step] == pytest.approx(loss.item(), rel=1e-9)
        loss.backward()
        optimizer.step()
    trained = member.model.state_dict()
    for name, array in network.state_dict().items():
        if name in trained:
            np.testing.assert_allclose(trained[name], array.numpy(), rtol=1e-8, atol=1e-12)
    assert set(dict(network.named_parameters())) <= set(trained)
    network.eval()
    loss = nn.functional.cross_entropy(network(values.double(), tokens), labels)
    assert member.validation_loss[-1] == pytest.approx(loss.item(), rel=1e-8)
    assert member.model.loss([values, tokens], labels, precision="f64") == pytest.approx(
        loss.item(), rel=1e-8
    )


def test_values_are_learned():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.25
    model = thalweg.build("linear", (3,), 1)
    member = model.train(x, y, epochs=60, batch=16, lr=0.1, optimizer="momentum")[0]
    assert member.accuracy is None and member.loss[-1] < 1e-6
    assert member.model.loss(x, y[:, None]) < 1e-6
    assert member.model.loss(x, y) == member.model.loss(x, y[:, None])


def test_divergence_is_told_and_is_no_error(trained, digits):
    population = trained.train(*digits, epochs=3, batch=20, lr=[0.01, 1e20], schedule="constant")
    assert population[0].diverged is None and population[1].diverged is not None
    assert "diverged" in repr(population) and population.best is population[0]


def test_slices_are_populations(digits):
    model = thalweg.build("linear", (8, 8, 1), 10)
    population = model.train(*digits, epochs=1, seeds=range(4))
    assert isinstance(population[1:3], thalweg.Population) and len(population[1:3]) == 2
    assert len(population.models) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "steps": 1}, "exclude each other"),
        ({"epochs": 0}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"optimizer": "sdg"}, "sgd"),
        ({"schedule": "linearly"}, "schedule|expected"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "each member once"),
        ({"seeds": -1}, "seeds"),
        ({"lr": np.nan}, "finite"),
        ({"start": "scratch"}, "start"),
        ({"checkpoints": -1}, "checkpoints"),
        ({"loss": "nothing"}, "unknown loss"),
    ],
)
def test_training_that_cannot_be(trained, digits, settings, message):
    with pytest.raises(thalweg.ConfigError, match=message):
        trained.train(*digits, **settings)
    with pytest.raises(TypeError, match="no place"):
        trained.train(*digits, batch_norm="batch")


def test_a_loss_knows_how_frequent_classes_are(digits):
    x, y = digits
    model = thalweg.build("mlp hidden=8 activation=tanh", (8, 8, 1), 10, precision="f64")
    logits, counts = model.predict(x, precision="f64"), np.bincount(y, minlength=10)

    def losses(z):
        z = z - z.max(1, keepdims=True)
        return np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]

    weights = 0.1 / (1 - 0.9**counts)
    weights *= 10 / weights.sum()
    known = {
        "cross-entropy balanced=0.9": np.mean(weights[y] * losses(logits)),
        "cross-entropy tau=1": np.mean(losses(logits + np.log(counts / len(y)))),
    }
    for loss, expected in known.items():
        assert model.loss(x, y, loss=loss, precision="f64") == pytest.approx(expected, rel=1e-10)

    def step(loss, **settings):
        settings = {"steps": 1, "batch": 120, "lr": 0.1, "optimizer": "sgd"} | settings
        trained = model.train(x, y, schedule="constant", loss=loss, precision="f64", **settings)
        return trained[0].model.parameters.flatten()

    both = "cross-entropy balanced=0.9 tau=1"
    gradient = model.gradient(x, y, loss=both, precision="f64")
    expected = model.parameters.to_parameters() - 0.1 * gradient
    np.testing.assert_allclose(step(both), expected.flatten(), rtol=1e-10, atol=1e-13)
    # Weights count after half of the steps: in the second of two, and never in a single one.
    deferred = "cross-entropy balanced=0.9 from=0.5"
    np.testing.assert_array_equal(step(deferred), step("cross-entropy"))
    two = [step(loss, steps=2) for loss in (deferred, "cross-entropy", "cross-entropy balanced=0.9")]
    assert not np.array_equal(two[0], two[1]) and not np.array_equal(two[0], two[2])
    with pytest.raises(thalweg.ConfigError, match="share of a training"):
        model.loss(x, y, loss=deferred)
    with pytest.raises(thalweg.ConfigError, match="none of class"):
        model.loss(x[:5], y[:5], loss=both)


def test_sam_says_the_loss_at_the_end_of_its_ascent(trained, digits):
    settings = {"steps": 1, "batch": 120, "lr": 0.1, "schedule": "constant", "precision": "f64"}
    member = trained.train(*digits, optimizer="sam:rho=0.05", **settings)[0]
    weights = trained.parameters.to_parameters()
    gradient = trained.gradient(*digits, precision="f64")
    ascended = weights + (0.05 / gradient.norm()) * gradient
    expected = trained.at(ascended).loss(*digits, precision="f64")
    assert member.perturbed_loss[0] == pytest.approx(expected, rel=1e-9)
    plain = trained.train(*digits, optimizer="sgd", **settings)
    assert plain[0].perturbed_loss is None
