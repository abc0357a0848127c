"""Trackers that results are sent to once they are written: a suite's section `track`. It is part of no key."""

from __future__ import annotations

from typing import Any, Literal

from harness.suite.addresses import Address
from harness.suite.fields import Above0, Place, Spec

TrackerName = Literal["mlflow", "trackio"]


class _Tracker(Spec):
    """A tracker at an `address`; None: as the tracker's own environment variables say."""

    address: Address | None = None


class Mlflow(_Tracker):
    """MLflow: the address of its server, or of a local store as MLflow writes it, and the name of an experiment.

    Without an address MLFLOW_TRACKING_URI is asked, without an `experiment` MLFLOW_EXPERIMENT_NAME, and then the suite
    gives its name. User and password come from MLflow's own variables.
    """

    experiment: Place | None = None


class Trackio(_Tracker):
    """Trackio: the address of a server, and the name of a project, by default that of the suite.

    Without an address TRACKIO_SERVER_URL or TRACKIO_SPACE_ID are asked; without these, runs lie in its local folder.
    """

    project: Place | None = None


class Tracking(Spec):
    """The trackers of a suite, and how many seconds each may take.

    With `artifacts`, the report and the outcome are sent as files; the page has questions and passages in it.
    """

    mlflow: Mlflow | None = None
    trackio: Trackio | None = None
    timeout: Above0 = 60.0
    artifacts: bool = True

    @property
    def named(self) -> dict[TrackerName, Mlflow | Trackio]:
        """The trackers that are used, by name."""
        trackers: dict[TrackerName, Mlflow | Trackio | None] = {"mlflow": self.mlflow, "trackio": self.trackio}
        return {name: tracker for name, tracker in trackers.items() if tracker is not None}

    def with_only(self, name: TrackerName) -> Tracking:
        """The settings with one tracker, whether the suite names it or not."""
        defaults: dict[TrackerName, Mlflow | Trackio] = {"mlflow": Mlflow(), "trackio": Trackio()}
        chosen = self.named.get(name, defaults[name])
        return self.model_copy(update={"mlflow": None, "trackio": None, name: chosen})


def tracking_of(value: Any) -> Any:
    """Return the section as a mapping: a name, or a list of names, stands for trackers without settings."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return value
    return {name: {} for name in names}
