"""Compare the pinned versions with published advisories, by pip-audit; `tox -e audit` calls it.

Exit code 0: none is known. 1: some are, one line each. 2: nobody could be asked, which is not a good result.
Further arguments go to pip-audit, for instance `--ignore-vuln ID` with a reason beside it in CI, or
`--vulnerability-service osv`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PINNED = Path(__file__).resolve().parent.parent / "constraints.txt"


def main(arguments: list[str]) -> int:
    """Ask, print what is known, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), "--no-deps", "--disable-pip",
            "--progress-spinner", "off", "--format", "json", "--output", str(report), *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            found = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, KeyError):
            said = [line for line in done.stderr.splitlines() if line.strip()]
            why = said[-1].split(":", 2)[-1].strip() if said else f"exit code {done.returncode}"
            return unasked(f"{PINNED.name} was not compared with any advisory ({why})")
    skipped = [row for row in found if "skip_reason" in row]
    known = [(row, one) for row in found for one in row.get("vulns", ())]
    for row, one in known:
        fixed, about = ", ".join(one["fix_versions"]) or "no version yet", " ".join(one["description"].split())
        print(f"{row['name']} {row['version']}: {one['id']}, fixed in {fixed}: {about[:200]}")
    print(f"audit: {len(found) - len(skipped)} versions compared, {len(known)} advisories")
    if known:
        return 1
    if skipped or not found:
        # pip-audit itself calls it a success if it was told of no package at all.
        names = ", ".join(row["name"] for row in skipped[:5])
        return unasked(f"{len(skipped)} versions of {PINNED.name} were not compared with any advisory ({names}, ...)")
    return 0


def unasked(what: str) -> int:
    """Say that there is no answer, and return the exit code of that."""
    print(f"audit: {what}; run it where the service can be reached")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
