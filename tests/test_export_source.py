"""The measured system that `harness export` writes: how it is found, and when it is refused."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import shutil

from trials import Trial, card_of, device, kept, refused, trial  # noqa: F401


def test_a_suite_that_was_never_run(trial: Trial) -> None:
    assert refused(trial, suite="pocket").endswith(
        "no outcome here; run the suite first with 'harness run', or set --store"
    )
    assert refused(trial, suite="pokcet") == "no suite 'pokcet'; did you mean 'pocket'?"


# which suite, which seed


def test_the_suite_is_found_by_its_candidate(trial: Trial) -> None:
    trial.tell(suite="other", systems=())
    assert card_of(trial.export(suite=None))[1].count("suite trial") > 0


def test_the_suite_may_be_named_as_its_outcome_is(trial: Trial) -> None:
    assert trial.export(suite="trial").is_dir()


def test_several_suites_with_that_candidate(trial: Trial) -> None:
    trial.tell(suite="other")
    said = refused(trial, suite=None)
    assert said == "several suites have a candidate 'whole': other, trial; choose one with --suite"


def test_no_suite_with_that_candidate(trial: Trial) -> None:
    said = refused(trial, "wohle", suite=None)
    assert said == f"no latest outcome below {trial.store} has a candidate 'wohle'; did you mean 'whole'?"
    shutil.rmtree(trial.store / "outcomes")
    assert refused(trial, suite=None) == f"no outcome below {trial.store}; run a suite first, or set --store"


def test_an_outcome_of_another_version_is_passed_over(trial: Trial) -> None:
    folder = trial.store / "outcomes" / "old" / "latest"
    folder.mkdir(parents=True)
    (folder / "outcome.json").write_text("{}", encoding="utf-8")
    assert trial.export(suite=None).is_dir()


def test_a_data_set_that_is_not_found_from_here(trial: Trial) -> None:
    outcome = trial.tell()
    trial.tell(spec={**outcome.spec, "dataset": {"path": "elsewhere"}})
    said = refused(trial, suite=None)
    assert said == "the dataset of the suite trial is not found from the current folder; set --suite to the suite file"


def test_a_suite_of_another_version_is_asked_for(trial: Trial) -> None:
    trial.tell(spec={"name": "trial"})
    said = "the suite trial cannot be read from its outcome; set --suite to the suite file"
    assert refused(trial, suite=None) == said


def test_one_of_several_seeds_is_asked_for(trial: Trial) -> None:
    outcome = trial.tell()
    more = tuple(info.model_copy(update={"seed": 7}) for info in outcome.systems if info.name == "whole")
    trial.tell(systems=(*outcome.systems, *more))
    assert refused(trial) == "suite trial: 'whole' was trained with the seeds 3, 7; choose one with --seed"
    assert refused(trial, seed=1) == "suite trial: 'whole' was not trained with seed 1; trained with: 3, 7"
    assert "trained with seed 3" in card_of(trial.export(seed=3))[1]
