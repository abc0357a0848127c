"""What gates found as JUnit XML: a test case for each system and gate, with the verdict in a sentence."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from harness.report.content.gates import remarks, sentence
from harness.report.content.questions import first_line
from harness.statistics.verdicts import Gated, Gating

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(found: Gating) -> str:
    """Return the XML text: what cannot be compared or is incomplete is an error, what fails is a failure."""
    errors = [one for one in found.verdicts if _kind(one) == "error"]
    failures = [one for one in found.verdicts if _kind(one) == "failure"]
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"harness gate {found.suite}"),
        tests=str(len(found.verdicts)),
        failures=str(len(failures)),
        errors=str(len(errors)),
        skipped="0",
        timestamp=_clean(found.created),
    )
    for one in found.verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(f"harness.{found.suite}"), name=_clean(f"{one.label} {one.gate}")
        )
        kind, text = _kind(one), _clean(sentence(one))
        if kind:
            ElementTree.SubElement(case, kind, message=text, type=one.verdict).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(_said(found)))
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _said(found: Gating) -> list[str]:
    """Return what else a reader must know, first of all that the questions are synthetic."""
    return [*filter(None, [first_line(found.questions)]), *remarks(found)]


def _kind(one: Gated) -> str:
    if not one.fails:
        return ""
    return "error" if one.verdict in ("not comparable", "failed") else "failure"


def _clean(text: str) -> str:
    """Return text without what XML cannot hold: a reason may hold anything that a process wrote."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
