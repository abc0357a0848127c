"""What a candidate uses: sections of data, roles of language models, models that run here."""

from __future__ import annotations

from typing import Any

import pocket
import pytest

from harness.suite.uses import CandidateUses, candidates_of, endpoint_roles, models_used

ENDPOINT = {"model": "large", "base_url": "http://127.0.0.1:9/v1"}


def uses(candidate: dict[str, Any], **changes: Any) -> CandidateUses:
    suite = pocket.suite({"candidates": {"one": candidate}, **changes})
    (found,) = candidates_of(suite)
    return found


@pytest.mark.parametrize(
    ("candidate", "sections", "roles"),
    [
        ({"tune": ["retriever"]}, ("synthesize", "mine"), ("synthesizer",)),
        ({"tune": ["retriever"], "pairs": "judged"}, ("mine",), ()),
        ({"tune": ["retriever"], "pairs": "judged", "mine": {"relabel": {"by": "llm"}}}, ("mine",), ("labeler",)),
        ({"tune": ["retriever"], "pairs": "judged", "label": {"by": "llm"}}, ("mine",), ()),
        ({"tune": ["reranker"], "pairs": "judged"}, ("mine",), ()),
        ({"tune": ["reranker"], "pairs": "judged", "reranker": {"model": "a"}}, ("mine", "label"), ()),
        (
            {"tune": ["reranker"], "pairs": "judged", "reranker": {"model": "a"}, "label": {"by": "llm"}},
            ("mine", "label"), ("labeler",),
        ),
        ({"tune": ["retriever"], "pairs": "judged", "retriever": {"recipe": "distill"}}, ("mine", "label"), ()),
        (
            {"tune": ["retriever"], "pairs": "both", "retriever": {"recipe": "distill", "teacher": "llm"}},
            ("synthesize", "mine", "label"), ("synthesizer", "labeler"),
        ),
        ({"tune": ["generator"], "mine": {"relabel": {"by": "llm"}}}, ("instruct",), ()),
        ({"tune": ["generator"], "instruct": {"answers": "llm"}}, ("synthesize", "instruct"), ("synthesizer",)),
        ({"tune": ["generator"], "pairs": "judged", "instruct": {"answers": "llm"}}, ("instruct",), ("synthesizer",)),
    ],
)  # fmt: skip
def test_sections_and_roles(candidate: dict[str, Any], sections: tuple[str, ...], roles: tuple[str, ...]) -> None:
    found = uses(candidate)
    assert (found.sections, found.roles) == (sections, roles)


def test_the_teacher_of_a_retriever_labels_in_the_place_of_the_suites_labeler() -> None:
    taught = {"recipe": "distill", "teacher": "cross-encoder", "teacher_model": "org/teacher"}
    found = uses({"tune": ["retriever", "reranker"], "pairs": "judged", "retriever": taught})
    retriever, reranker = found.labels_for("retriever"), found.labels_for("reranker")
    assert retriever is not None
    assert (retriever.by, retriever.model) == ("cross-encoder", "org/teacher")
    # Late interaction learns from triplets; a cross-encoder needs labels.
    assert reranker is None
    assert found.labels_for("generator") is None
    keys = {use.key: (use.model, use.as_is) for use in found.models()}
    assert keys == {
        "candidates.one.retriever.teacher_model": ("org/teacher", True),
        "pipeline.retriever.model": ("embedded:all-minilm-l6-v2", False),
    }


def test_a_part_that_is_not_tuned_has_no_recipe() -> None:
    found = uses({"tune": ["reranker"]})
    assert (found.retriever, found.generator) == (None, None)
    assert found.reranker is not None
    assert not found.writes_answers


def test_only_roles_that_are_asked_need_their_endpoint() -> None:
    judged = {"candidates": {"one": {"tune": ["retriever"], "pairs": "judged"}}}
    both = {"llm.synthesizer": ENDPOINT, "llm.labeler": ENDPOINT}
    assert endpoint_roles(pocket.suite({**judged, **both})) == []
    written = {"candidates": {"one": {"tune": ["retriever"], "mine": {"relabel": {"by": "llm"}}}}}
    assert endpoint_roles(pocket.suite({**written, **both})) == ["synthesizer", "labeler"]
    assert endpoint_roles(pocket.suite({**written, "llm.labeler": ENDPOINT})) == ["labeler"]
    assert "llm.labeler.model" not in {use.key for use in models_used(pocket.suite({**written, **both}))}
