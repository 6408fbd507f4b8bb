"""What trainings tell of means: against closed forms, and against truths that are known."""

import numpy as np
import pytest

from mtl_search.metrics.posterior import Trained, _Fit, posterior


def drawn(count: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, true means, and a training of each."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, 5))
    means = np.sin(features[:, 0]) + 0.5 * features[:, 1]
    return features, means, means + noise * rng.standard_normal(count)


@pytest.mark.parametrize("count", [24, 60, 120])
@pytest.mark.thin(3)
def test_means_are_closer_to_the_truth_than_trainings_and_bars_hold_it(count: int) -> None:
    closer, held = [], []
    for seed in range(10):
        features, means, values = drawn(count, 0.3, seed)
        found = posterior(Trained(features, values, np.ones(count)))
        closer.append(np.square(found.mean - means).mean() / np.square(values - means).mean())
        held.append((np.abs(found.mean - means) < 1.96 * found.deviation).mean())
    assert np.mean(closer) < 0.9
    assert 0.88 < np.mean(held) < 0.99


def test_what_was_trained_often_is_known() -> None:
    """Of 400 trainings with a mean of 3 nothing is left to doubt, whatever the others were."""
    features, _, values = drawn(20, 0.3, 0)
    counts = np.ones(20)
    counts[4], values[4] = 400, 3.0
    found = posterior(Trained(features, values, counts, within=399 * 0.3**2))
    assert found.mean[4] == pytest.approx(3.0, abs=0.05)
    assert found.deviation[4] == pytest.approx(0.3 / 20, rel=0.3)


def test_one_kernel_is_the_regression_of_the_textbook() -> None:
    """Rasmussen & Williams, 2006, equations 2.25, 2.26 and 2.30, computed as they stand."""
    features, _, values = drawn(15, 0.1, 1)
    squares = np.square(features[:, None] - features).sum(axis=2)
    kernel, noise = np.exp(-squares / (2 * 4.0)), 0.1
    part = _Fit(Trained(features, values, np.ones(15)), kernel, own=0.0, noise=noise).part(1.0)
    scaled = (values - values.mean()) / values.std()
    inverse = np.linalg.inv(kernel + noise * np.eye(15))
    variance = (scaled @ inverse @ scaled + 1) / 16
    assert part.mean == pytest.approx(values.mean() + values.std() * kernel @ inverse @ scaled)
    expected = variance * values.var() * (kernel - kernel @ inverse @ kernel)
    assert part.covariance == pytest.approx(expected, abs=1e-9)
    others = np.arange(15) != 6
    without = np.linalg.inv(kernel[others][:, others] + noise * np.eye(14)) @ scaled[others]
    assert part.left_out[6] == pytest.approx(values.mean() + values.std() * kernel[6, others] @ without)


def test_draws_have_the_means_and_deviations_that_are_told() -> None:
    features, _, values = drawn(20, 0.3, 2)
    found = posterior(Trained(features, values, np.ones(20)))
    draws = found.draws(seed=0, count=20000)
    assert draws.mean(axis=0) == pytest.approx(found.mean, abs=0.02)
    assert draws.std(axis=0) == pytest.approx(found.deviation, rel=0.05)
    assert (found.draws(seed=0, count=5) == found.draws(seed=0, count=5)).all()


@pytest.mark.slow
def test_noise_alone_is_not_explained() -> None:
    rng = np.random.default_rng(0)
    shares = [
        posterior(Trained(rng.standard_normal((40, 5)), rng.standard_normal(40), np.ones(40))).explained
        for _ in range(10)
    ]
    assert np.median(shares) < 0.1
    features, _, values = drawn(40, 0.05, 3)
    assert posterior(Trained(features, values, np.ones(40))).explained > 0.8
