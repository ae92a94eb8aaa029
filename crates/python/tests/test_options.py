"""Options: what they change, what they never change, and what is refused."""

import numpy as np
import pytest
import thalweg


def test_threads_and_memory_change_no_bit(convolutional, digits):
    usual = convolutional.surface(*digits, x_range=(-1, 1, 5))
    for options in ({"threads": 1}, {"threads": 3}, {"memory": "64MiB"}, {"memory": 1 << 28}):
        other = convolutional.surface(*digits, x_range=(-1, 1, 5), **options)
        np.testing.assert_array_equal(other.loss, usual.loss)
    np.testing.assert_array_equal(
        convolutional.gradient(*digits, threads=1).flatten(),
        convolutional.gradient(*digits, threads=2).flatten(),
    )


def test_seeds_draw_other_directions(trained, digits):
    a = trained.surface(*digits, x_range=(-1, 1, 3), seed=1)
    b = trained.surface(*digits, x_range=(-1, 1, 3), seed=2)
    assert not np.array_equal(a.loss, b.loss)
    assert a.loss[1, 1] == b.loss[1, 1] == a.centre.loss == trained.loss(*digits)


def test_batch_norm_modes_differ_away_from_the_point(convolutional, digits):
    found = {
        mode: convolutional.loss(*digits, batch_norm=mode, batch=30)
        for mode in ("frozen", "batch", "recalibrated")
    }
    assert len(set(found.values())) == 3
    assert convolutional.loss(*digits, batch_norm="batch", batch=60) != found["batch"]
    assert convolutional.loss(*digits, batch=60) == found["frozen"]


def test_a_sample_has_a_standard_error_that_covers_the_whole(trained, digits):
    whole = trained.evaluate(*digits)
    assert whole.standard_error is None
    inside = 0
    for seed in range(20):
        part = trained.evaluate(*digits, samples=50, seed=seed)
        assert part.examples == 50
        inside += abs(part.loss - whole.loss) < 2 * part.standard_error
    assert inside >= 15
    surface = trained.surface(*digits, samples=50, x_range=(-1, 1, 3))
    assert surface.loss_standard_error.shape == surface.loss.shape


def test_losses(trained, digits):
    x, y = digits
    logits = trained.predict(x, precision="f64")
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    one_hot = np.eye(10)[y]
    smooth = 0.9 * one_hot + 0.01
    exact = {"precision": "f64"}
    assert trained.loss(x, y, loss="cross-entropy smoothing=0.1", **exact) == pytest.approx(
        -(smooth * logs).sum(1).mean(), rel=1e-12
    )
    assert trained.loss(x, y, loss="mse", **exact) == pytest.approx(
        ((logits - one_hot) ** 2).mean(), rel=1e-12
    )
    assert trained.loss(x, one_hot, loss="mse", **exact) == pytest.approx(
        ((logits - one_hot) ** 2).mean(), rel=1e-12
    )
    with pytest.raises(thalweg.ConfigError, match="unknown loss"):
        trained.loss(x, y, loss="hinge2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch": 0}, thalweg.ConfigError, "batch: expected a whole number of at least 1"),
        ({"batch": -1}, thalweg.ConfigError, "batch"),
        ({"batch": 1.5}, thalweg.ConfigError, "batch"),
        ({"batch": "8"}, thalweg.ConfigError, "batch"),
        ({"batch": 2**70}, thalweg.ConfigError, "batch"),
        ({"batch_norm": "frosen"}, thalweg.ConfigError, "frozen, batch or recalibrated"),
        ({"precision": "f16"}, thalweg.ConfigError, "f32 or f64"),
        ({"precision": 32}, thalweg.ConfigError, "precision"),
        ({"threads": 1 << 40}, thalweg.ConfigError, "threads"),
        ({"memory": "much"}, thalweg.ConfigError, "memory: expected a size as 2GiB"),
        ({"memory": "1KiB"}, thalweg.OutOfMemoryError, "bytes"),
        ({"samples": 0}, thalweg.ConfigError, "samples"),
        ({"seed": -1}, thalweg.ConfigError, "seed"),
        ({"loss": 3}, thalweg.ConfigError, "loss"),
        ({"progress": "yes"}, thalweg.ConfigError, "progress"),
        ({"batchnorm": "frozen"}, TypeError, "did you mean batch_norm"),
    ],
)
def test_options_that_cannot_be_used(trained, digits, options, error, message):
    with pytest.raises(error, match=message):
        trained.surface(*digits, x_range=(-1, 1, 3), **options)


def test_exceptions_are_of_their_builtin_kinds():
    for kind, builtin in (
        (thalweg.ShapeError, ValueError),
        (thalweg.DataError, ValueError),
        (thalweg.ConfigError, ValueError),
        (thalweg.FormatError, ValueError),
        (thalweg.FileError, OSError),
        (thalweg.OutOfMemoryError, MemoryError),
        (thalweg.NumericsError, ArithmeticError),
    ):
        assert issubclass(kind, builtin) and issubclass(kind, thalweg.ThalwegError)
    assert issubclass(thalweg.Interrupted, KeyboardInterrupt)
    assert not issubclass(thalweg.Interrupted, Exception)
