"""The rules of advice: how conditions are read, what is refused in a file of rules, and that the docs have them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from advising import RULES, advised
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis.meanings import NAMES
from harness.diagnosis.rules import Condition, load_rules, parse_condition
from harness.errors import ConfigError
from harness.suite.bounds import Limits

DOCS = Path(__file__).parent.parent / "docs" / "diagnose.md"
numbers = st.floats(-1e6, 1e6)
names = st.sampled_from([*NAMES, "sign.agreement", "share.p95.generator"])


@given(
    st.builds(Condition, names, st.sampled_from([">=", ">", "<=", "<"]), numbers)
    | st.builds(Condition, names, st.sampled_from([">=", ">", "<=", "<"]), names, st.floats(0.01, 100))
)
def test_conditions_are_read_as_they_are_written(condition: Condition) -> None:
    assert parse_condition(str(condition)) == condition


@given(
    st.sampled_from([">=", ">", "<=", "<"]), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.floats(0.1, 2)
)
def test_a_condition_or_its_opposite_holds_unless_something_is_not_known(
    sign: Any, value: float | None, bound: float | None, times: float
) -> None:
    condition = Condition("right", sign, "invented", times)
    facts = {"right": value, "invented": bound}
    held = [condition.holds(facts), condition.opposite.holds(facts)]
    assert sorted(held) == ([False, False] if value is None or bound is None else [False, True])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lost.pol >= 0.1", "no fact is called 'lost.pol'; did you mean 'lost.pool'?"),
        ("lost.pool >= 2 * 0.1", "before '*' stands a number, after it a fact"),
        ("lost.pool >= x * right", "before '*' stands a number, after it a fact"),
        ("lost.pool = 0.1", "is no condition; write one like"),
        ("lost.pool >= nan", "no fact is called 'nan'"),
        ("", "is no condition"),
    ],
)
def test_what_is_no_condition_is_said_so(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_condition(text)


def written(tmp_path: Path, *rules: dict[str, Any], **changes: Any) -> Path:
    value = {"schema": "harness/advice-1", "classes": [{"about": "all", "rules": list(rules)}]} | changes
    path = tmp_path / "advice.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


SOUND = {"id": "one", "kind": "change", "action": "Do it", "when": ["right < 0.5"], "because": ["Right are {right}."]}


def test_rules_of_a_file(tmp_path: Path) -> None:
    rules = load_rules(written(tmp_path, SOUND))
    (found,) = advised({"right": 0.2}, rules=rules).values()
    assert (found.action, found.why) == ("Do it", ("Right are 20 %.",))
    assert found.would_change == ("the share of queries answered correctly is at least 50 % (now 20 %)",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"because": ["Right are {rigt}."]}, "no fact is called 'rigt'; did you mean 'right'?"),
        ({"when": ["rigt < 1"]}, "classes.0.rules.0.when.0: no fact is called 'rigt'"),
        ({"wen": []}, "classes.0.rules.0.wen: unknown key; did you mean 'when'?"),
        ({"because": []}, "a rule needs a reason"),
        ({"when": []}, "a rule has conditions, 'when' or 'any', unless it is 'together'"),
        ({"kind": "tune"}, "a rule that tunes has either 'tunes' or 'together: true'"),
        ({"kind": "tun"}, "classes.0.rules.0.kind: "),
        ({"unless": ["two"]}, "rule 'one' names a rule 'two'; known here: one"),
        ({"unless": ["one"]}, "rules that wait for each other: one, one"),
        ({"not_when": ["rigt < 1"]}, "classes.0.rules.0.not_when.0: no fact is called 'rigt'"),
        ({"rank_by": "rigt"}, "classes.0.rules.0.rank_by: no fact is called 'rigt'"),
    ],
)
def test_a_mistake_in_rules_is_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = written(tmp_path, SOUND | change)
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert str(problem).startswith(str(path))
    assert "\n" not in str(problem)


def test_rules_named_twice_and_what_is_no_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rules named twice: one"):
        load_rules(written(tmp_path, SOUND, SOUND))
    (tmp_path / "advice.yaml").write_text("schema: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"advice.yaml:1: not YAML"):
        load_rules(tmp_path / "advice.yaml")


def test_every_rule_is_explained_in_the_docs_and_their_limits_can_be_read() -> None:
    text = DOCS.read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert named == set(RULES.rules)
    (block,) = re.findall(r"```yaml\n(limits:.*?)```", text, re.DOTALL)
    assert Limits.model_validate(yaml.safe_load(block)["limits"]).max_p95_ms == 1500
