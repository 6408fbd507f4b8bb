"""Training and scoring of one network, on real digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_networks import made_architecture, single_threaded
from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import DatasetError, DivergedError, FieldError
from mtl_search.evaluation import evaluate, evaluate_by_epoch, mean_quality
from mtl_search.networks.network import MultiTaskNetwork, build_model
from mtl_search.runs.trial import State
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training
from mtl_search.training.batches import DeviceSplit
from mtl_search.training.devices import device_of
from mtl_search.training.sample_order import drawn_order
from mtl_search.training.scoring import scores_on
from mtl_search.training.trainer import BACKWARD_MACS, Epoch, Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")
CHANCE = 0.1
SMALL = made_architecture("linear", 0.5, stem=4, stem_stride=2, head_pool=2)
QUICK = Training(epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=600, val=1200, test=50)


def model_for(dataset: Dataset, architecture: Architecture = SMALL, seed: int = 0) -> MultiTaskNetwork:
    return build_model(architecture, dataset.tasks, dataset.input_shape, seed)


def epochs_of(dataset: Dataset, training: Training, seed: int = 0) -> list[Epoch]:
    return list(Trainer(model_for(dataset), dataset.tasks, dataset, training, seed).epochs())


def outputs_on(model: MultiTaskNetwork, dataset: Dataset, split: str) -> dict[str, torch.Tensor]:
    """Outputs for a whole split in one batch, its inputs normalised by hand."""
    inputs = torch.from_numpy(dataset.splits[split].inputs).float()
    mean, std = (torch.from_numpy(value).view(-1, 1, 1) for value in (dataset.mean, dataset.std))
    with torch.no_grad():
        return model.eval()((inputs - mean) / std)


def assert_same_seed_same_result(dataset: Dataset, training: Training) -> None:
    one, again, other = (evaluate(SMALL, dataset, training, seed) for seed in (3, 3, 4))
    assert replace(one, seconds=0) == replace(again, seconds=0)
    assert one.scores != other.scores


def test_accuracy_rises_well_above_chance() -> None:
    dataset = load_dataset("multi_mnist", train=4000, val=400, test=1)
    architecture = made_architecture(
        "linear", 0.75, widths=(12, 24), strides=(2, 2), stem=8, stem_stride=2, head_pool=2
    )
    trial = evaluate(architecture, dataset, Training(epochs=4, batch_size=64, learning_rate=5e-3))
    assert trial.state is State.COMPLETE
    assert trial.epochs == 4
    assert trial.scores["left/accuracy"] > 5 * CHANCE
    assert trial.scores["right/accuracy"] > 5 * CHANCE
    assert trial.accuracy == pytest.approx((trial.scores["left/accuracy"] + trial.scores["right/accuracy"]) / 2)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
@pytest.mark.slow
def test_the_loss_falls_with_either_schedule(dataset: Dataset, schedule: str) -> None:
    training = Training(epochs=8, batch_size=32, learning_rate=1e-2, schedule=schedule)
    losses = [epoch.loss for epoch in epochs_of(dataset, training)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what torch's compiler imports of torch
@pytest.mark.parametrize("balancing", ["equal", "pcgrad"])  # one backward pass, and one for each task
@pytest.mark.slow
def test_a_compiled_training_gives_the_same_network(dataset: Dataset, balancing: str) -> None:
    least = made_architecture("linear", 0.5, widths=(4,), strides=(2,), stem=4, stem_stride=2)
    found = []
    for compiled in (False, True):
        training = Training(epochs=1, batch_size=128, balancing={"name": balancing}, compile=compiled)
        model = model_for(dataset, least)
        (epoch,) = Trainer(model, dataset.tasks, dataset, training, seed=0).epochs()
        found.append((epoch.loss, outputs_on(model, dataset, "val")))
    (loss, outputs), (loss_compiled, outputs_compiled) = found
    assert loss_compiled == pytest.approx(loss, rel=1e-5)
    for task, output in outputs.items():
        torch.testing.assert_close(outputs_compiled[task], output, rtol=1e-3, atol=1e-4)


def test_schedules_are_those_of_their_names(dataset: Dataset) -> None:
    rates = {}
    for schedule in ("one_cycle", "cosine"):
        training = QUICK.model_copy(update={"schedule": schedule})
        trainer = Trainer(model_for(dataset), dataset.tasks, dataset, training, 0)
        rates[schedule] = [trainer.schedule.get_last_lr()[0]]
        for _ in range(trainer.steps - 1):
            trainer.optimiser.step()
            trainer.schedule.step()
            rates[schedule].append(trainer.schedule.get_last_lr()[0])
    assert rates["cosine"][0] == pytest.approx(QUICK.learning_rate)
    assert rates["one_cycle"][0] == pytest.approx(QUICK.learning_rate / 25)
    assert max(rates["cosine"]) == rates["cosine"][0]
    assert max(rates["one_cycle"]) == pytest.approx(QUICK.learning_rate, rel=0.1)
    assert rates["cosine"][-1] < 0.05 * QUICK.learning_rate
    assert rates["one_cycle"][-1] < 1e-3 * QUICK.learning_rate


def test_same_seed_same_scores(dataset: Dataset) -> None:
    assert_same_seed_same_result(dataset, QUICK)


def test_the_order_of_the_samples_is_drawn_from_the_seed(dataset: Dataset) -> None:
    one, again, other = (epochs_of(dataset, QUICK, seed)[0].loss for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_an_epoch_leaves_an_incomplete_batch_out(dataset: Dataset) -> None:
    (epoch,) = epochs_of(dataset, QUICK)
    assert (epoch.number, epoch.samples) == (1, 600 // 64 * 64)


@pytest.mark.parametrize(("length", "steps"), [(0.5, 4), (2.0, 18), (0.001, 1)])
def test_an_epoch_is_as_long_as_it_is_asked_to_be(dataset: Dataset, length: float, steps: int) -> None:
    settings = Training(epochs=2, batch_size=64, epoch_length=length)
    trainer = Trainer(model_for(dataset), dataset.tasks, dataset, settings, 0)
    assert [epoch.samples for epoch in trainer.epochs()] == [64 * steps] * 2
    assert trainer.schedule.last_epoch == 2 * steps, "the schedule ends with the last step"


def test_a_long_epoch_sees_every_sample_before_one_comes_again(dataset: Dataset) -> None:
    order = drawn_order(dataset.splits["train"], "by_size", 1500, torch.Generator().manual_seed(0))
    counts = torch.bincount(order, minlength=600)
    assert counts[order[:600]].min() >= 2
    assert sorted(order[:600].tolist()) == list(range(600))
    assert sorted(order[600:1200].tolist()) == list(range(600))
    assert counts.max() == 3
    assert order[:600].tolist() != order[600:1200].tolist()


def test_reports_tell_the_training_epoch_by_epoch(dataset: Dataset) -> None:
    reports = list(evaluate_by_epoch(SMALL, dataset, Training(epochs=3, batch_size=64), 0))
    trial = evaluate(SMALL, dataset, Training(epochs=1))
    assert [report.epoch for report in reports] == [1, 2, 3, 3]
    assert [report.done for report in reports] == [False, False, False, True]
    assert [bool(report.scores) for report in reports] == [False, False, False, True]
    assert [bool(report.weights) for report in reports] == [False, False, False, True]
    spent = [(1 + BACKWARD_MACS) * trial.macs * 576 * number for number in (1, 2, 3, 3)]
    assert [report.training_macs for report in reports] == spent
    seconds = [report.seconds for report in reports]
    assert seconds == sorted(set(seconds)), "the last one counts the scoring, too"
    assert reports[2].phases == reports[3].phases


def test_every_weight_is_trained(dataset: Dataset) -> None:
    model = model_for(dataset)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    frozen = {name: buffer.clone() for name, buffer in model.named_buffers() if "primitive" in name}
    list(Trainer(model, dataset.tasks, dataset, QUICK, 0).epochs())
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert frozen
    assert all(torch.equal(model.get_buffer(name), buffer) for name, buffer in frozen.items())


def test_weight_decay_is_for_weights_only(dataset: Dataset) -> None:
    trainer = Trainer(model_for(dataset), dataset.tasks, dataset, Training(weight_decay=0.3), 0)
    for group in trainer.optimiser.param_groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.3}
    count = sum(len(group["params"]) for group in trainer.optimiser.param_groups)
    assert count == len(list(trainer.model.parameters()))


def test_divergence_is_told_with_its_step(dataset: Dataset) -> None:
    with pytest.raises(DivergedError, match=r"not finite at step \d+") as caught:
        epochs_of(dataset, Training(epochs=2, batch_size=64, learning_rate=1e6))
    assert 1 < caught.value.step <= 18


def test_a_diverged_trial_fails_with_the_reason(dataset: Dataset, tmp_path: Path) -> None:
    experiment = made_experiment(["search.trials=1", "search.workers=0", "space.width_multiplier=[0.5]"])
    training = Training(epochs=2, batch_size=64, learning_rate=1e6)
    run = search(experiment, dataset, training=training, out=tmp_path / "run")
    (trial,) = run.trials
    assert trial.state is State.FAILED
    assert "training diverged: the loss was not finite at step" in trial.error
    assert trial.accuracy is None
    assert not run.front


def test_label_smoothing_changes_the_loss(dataset: Dataset) -> None:
    plain, smooth = (epochs_of(dataset, Training(epochs=1, label_smoothing=s))[0].loss for s in (0.0, 0.3))
    assert plain != smooth
    task, output, target = dataset.tasks[0], torch.tensor([[9.0] + [0.0] * 9]), torch.tensor([0])
    log_probabilities = output.log_softmax(dim=1)
    assert float(task.loss(output, target)) == pytest.approx(-float(log_probabilities[0, 0]))
    expected = -0.7 * log_probabilities[0, 0] - 0.3 * log_probabilities.mean()
    assert float(task.loss(output, target, 0.3)) == pytest.approx(float(expected))


def test_less_than_a_batch_of_samples_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="600 training samples are less than one batch of 601"):
        epochs_of(dataset, Training(batch_size=601))


def test_scores_are_those_of_the_outputs(dataset: Dataset) -> None:
    """The split takes three batches; the outputs are computed in one."""
    model = model_for(dataset)
    list(Trainer(model, dataset.tasks, dataset, QUICK, 0).epochs())
    scores = scores_on(model, dataset.tasks, dataset, "val", CPU)
    outputs = outputs_on(model, dataset, "val")
    assert list(scores) == dataset.score_names
    for task in dataset.tasks:
        target = torch.from_numpy(dataset.splits["val"].targets[task.name])
        correct = int((outputs[task.name].argmax(dim=1) == target).sum())
        chosen = outputs[task.name].double().log_softmax(dim=1)[torch.arange(len(target)), target]
        assert scores[f"{task.name}/accuracy"] == pytest.approx(correct / 1200, abs=1.5 / 1200)
        assert scores[f"{task.name}/loss"] == pytest.approx(-float(chosen.mean()), rel=1e-4)
    assert mean_quality(dataset.tasks, scores) == (scores["left/accuracy"] + scores["right/accuracy"]) / 2


@pytest.mark.parametrize("size", [1, 7, 100, 512])
def test_scores_of_parts_add_up_to_the_scores_of_the_whole(dataset: Dataset, size: int) -> None:
    task = dataset.tasks[0]
    rng = torch.Generator().manual_seed(0)
    output, target = torch.randn(512, 10, generator=rng), torch.randint(0, 10, (512,), generator=rng)
    parts = [task.totals(*part) for part in zip(output.split(size), target.split(size), strict=True)]
    whole = task.scores(task.totals(output, target))
    assert task.scores(torch.stack(parts).sum(dim=0)) == pytest.approx(whole)


def test_scoring_changes_nothing(dataset: Dataset) -> None:
    model = model_for(dataset)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = scores_on(model, dataset.tasks, dataset, "val", CPU)
    assert first == scores_on(model, dataset.tasks, dataset, "val", CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batches_are_normalised(dataset: Dataset) -> None:
    split = DeviceSplit(dataset.splits["train"], dataset, CPU)
    inputs, targets = split.batch(slice(None))
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-3)
    assert np.array_equal(targets["left"].numpy(), dataset.splits["train"].targets["left"])


def test_training_does_not_change_the_dataset(dataset: Dataset) -> None:
    before = dataset.splits["train"].inputs.copy()
    epochs_of(dataset, QUICK)
    assert np.array_equal(dataset.splits["train"].inputs, before)


def test_data_that_may_not_be_written_to_can_be_trained_on(dataset: Dataset) -> None:
    inputs = dataset.splits["train"].inputs.copy()
    inputs.flags.writeable = False
    splits = {**dataset.splits, "train": replace(dataset.splits["train"], inputs=inputs)}
    assert epochs_of(replace(dataset, splits=splits), QUICK)[0].loss == epochs_of(dataset, QUICK)[0].loss


def test_cuda_is_refused_where_there_is_none() -> None:
    if torch.cuda.is_available():
        assert device_of("cuda").type == device_of("auto").type == "cuda"
        return
    assert device_of("auto") == CPU
    with pytest.raises(FieldError, match="without CUDA"):
        device_of("cuda")


RATES = {
    "step": lambda done: 1.0 if done < 0.5 else 0.5,
    "poly": lambda done: (1 - done) ** 0.9,
    "constant": lambda done: 1.0,
}


@pytest.mark.parametrize("schedule", RATES)
def test_the_learning_rate_follows_its_schedule(schedule: str, dataset: Dataset) -> None:
    training = Training(epochs=4, batch_size=150, schedule=schedule, learning_rate=0.01)  # type: ignore[arg-type]
    trainer = Trainer(model_for(dataset), dataset.tasks, dataset, training, 0)
    rates, step = [], trainer.step
    trainer.step = lambda *batch: (rates.append(trainer.optimiser.param_groups[0]["lr"]), step(*batch))[1]  # type: ignore
    list(trainer.epochs())
    assert rates == pytest.approx([0.01 * RATES[schedule](number / 16) for number in range(16)])
