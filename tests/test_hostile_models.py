"""Model folders that were made to harm: no code of theirs runs, no file elsewhere is read, and memory is bounded."""

from __future__ import annotations

import contextlib
import json
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folders
import pytest
import smallsuite
import tiny

from harness.errors import ConfigError, HarnessError
from harness.models.bounded import TookTooLong, bounded
from harness.models.chat_templates import ChatTemplate, variables_of
from harness.models.inspection import inspect
from harness.models.template_checks import template_facts
from harness.models.tensors import files_of, read_header, tensors_of

SECRET = "the secret of another file"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    words = smallsuite.vocabulary()
    return {"bi-encoder": folders.bert(root / "bert"), "generator": tiny.generator(root / "llama", words)}


@pytest.fixture
def encoder(models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(models["bi-encoder"], tmp_path / "given" / "encoder"))


@pytest.fixture
def generator(models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(models["generator"], tmp_path / "given" / "generator"))


def said(folder: Path, role: Any = "bi-encoder") -> str:
    return "\n".join(str(problem) for problem in inspect(folder, role, deep=True).problems)


def settings(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: folders.edited(folder, "config.json", lambda config: {**config, **changes})


def loaded_with(section: str, **options: Any) -> Callable[[Path], object]:
    file = "sentence_bert_config.json"
    return lambda folder: folders.edited(folder, file, lambda config: {**config, section: options})


def of_another_file(option: str) -> Callable[[Path], object]:
    """A name by which sentence-transformers would take the file with the length of texts, if the first is empty."""

    def change(folder: Path) -> None:
        (folder / "sentence_bert_config.json").write_text("{}")
        (folder / "sentence_roberta_config.json").write_text(json.dumps({"model_kwargs": {option: False}}))

    return change


def moved(place: str) -> Callable[[Path], object]:
    return lambda folder: folders.edited(
        folder, "modules.json", lambda rows: [{**row, "path": place if row["path"] else row["path"]} for row in rows]
    )


def nested(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text('{"a":' * 100_000)


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a kernel": (settings(attn_implementation="somebody/kernel"), "names code on a hub"),
    "a kernel of the text model": (settings(text_config={"attn_implementation": "a/kernel"}), "names code on a hub"),
    "a kernel for experts": (settings(experts_implementation="somebody/kernel"), "names code on a hub"),
    "a kernel by part": (settings(attn_implementation={"": "eager", "text": "somebody/kernel"}), "names code on a hub"),
    "pickles": (loaded_with("model_kwargs", use_safetensors=False), "model_kwargs.use_safetensors"),
    "pickles, older": (loaded_with("model_args", weights_only=False), "model_args.weights_only"),
    "kernels by an option": (loaded_with("model_kwargs", allow_all_kernels=True), "model_kwargs.allow_all_kernels"),
    "a kernel by an option": (loaded_with("model_kwargs", attn_implementation="a/kernel"), "names code on a hub"),
    "a file elsewhere": (loaded_with("processor_kwargs", tokenizer_file="/etc/x"), "processor_kwargs.tokenizer_file"),
    "the network": (loaded_with("config_args", local_files_only=False), "config_args.local_files_only"),
    "a second file of options": (of_another_file("use_safetensors"), "model_kwargs.use_safetensors"),
    "a module above": (moved("../elsewhere"), "names a module outside of the folder ('../elsewhere')"),
    "a module anywhere": (moved("/etc"), "names a module outside of the folder ('/etc')"),
    "many layers": (settings(num_hidden_layers=10**9), "asks for 1,000,000,000 parts (num_hidden_layers)"),
    "many labels": (settings(num_labels=10**9), "asks for 1,000,000,000 parts (num_labels)"),
    "many experts": (settings(text_config={"num_experts": 10**6}), "asks for 1,000,000 parts (num_experts)"),
    "a nested configuration": (nested("config.json"), "config.json: is no JSON"),
    "nested modules": (nested("modules.json"), "modules.json: is no JSON"),
    "a nested tokenizer": (nested("tokenizer_config.json"), "tokenizer_config.json: is no JSON"),
    "modules that are texts": (lambda folder: (folder / "modules.json").write_text('["a"]'), "is no list of modules"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMS)
def test_a_configuration_that_chooses_code_files_or_sizes_is_refused(name: str, encoder: Path) -> None:
    harm, what = HARMS[name]
    harm(encoder)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert what in said(encoder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "harmless",
    [
        settings(attn_implementation="sdpa"), settings(num_labels=2), settings(max_window_layers=28),
        loaded_with("model_kwargs", torch_dtype="float32"), loaded_with("tokenizer_args", padding_side="right"),
        settings(_name_or_path="somebody/model"),
    ],
)  # fmt: skip
def test_usual_settings_are_taken(harmless: Callable[[Path], object], encoder: Path) -> None:
    harmless(encoder)
    assert said(encoder) == ""


# ---- weights


def safetensors(path: Path, header: object, size: int = 8) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    return path


PLACED = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS: dict[str, object] = {
    "nested": b'{"a":' * 100_000,
    "a shape beyond all memory": {"a": {**PLACED, "shape": [2**40, 2**40]}},
    "a negative shape": {"a": {**PLACED, "shape": [-2, -1]}},
    "a shape of truth values": {"a": {**PLACED, "shape": [True, 2]}},
    "before the file": {"a": {**PLACED, "data_offsets": [-8, 0]}},
    "backwards": {"a": {**PLACED, "data_offsets": [8, 0]}},
    "places that are no numbers": {"a": {**PLACED, "data_offsets": [0.0, 8.0]}},
    "three places": {"a": {**PLACED, "data_offsets": [0, 4, 8]}},
    "no object": [1],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_is_damage(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is damaged"):
        read_header(safetensors(tmp_path / "model.safetensors", HEADERS[name]))


def test_a_plain_header_is_read(tmp_path: Path) -> None:
    (tensor,) = read_header(safetensors(tmp_path / "model.safetensors", {"a": PLACED, "__metadata__": {"x": "y"}}))
    assert tensor.shape == (2,)


@pytest.mark.parametrize("name", ["../else.safetensors", "/etc/passwd", "a/../../else.safetensors", 5, None, ["a"]])
def test_an_index_names_no_weights_elsewhere(name: object, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    safetensors(tmp_path / "else.safetensors", {"a": PLACED})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    for read in (files_of, tensors_of):
        with pytest.raises(ConfigError):
            read(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map":' * 100_000)
    with pytest.raises(ConfigError, match="is damaged"):
        files_of(folder)


class Payload:
    """What a pickle runs when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


CODE = "import pathlib; pathlib.Path({marker!r}).touch()\n"


def planted(folder: Path, marker: Path) -> None:
    """Put everything into a folder that some loader would run."""
    code = CODE.format(marker=str(marker))
    for name in (
        "modeling_bert.py", "configuration_bert.py", "tokenization_bert.py", "__init__.py", "custom_st.py", "setup.py",
        "conftest.py", "sitecustomize.py", "1_Pooling/__init__.py", "custom_generate/generate.py", "pooling.py",
    ):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for name in (
        "pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "training_args.bin", "optimizer.pt", "scaler.pt",
        "random_states.pkl", "model.joblib", "flax_model.msgpack", "adapter_model.bin",
        "tokenizer.pkl", "vectors.npy",
    ):  # fmt: skip
        (folder / name).write_bytes(pickle.dumps(Payload(marker)))


@pytest.mark.parametrize("role", ["bi-encoder", "generator"])
def test_nothing_that_lies_beside_the_weights_is_run(
    role: str, encoder: Path, generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = {"bi-encoder": encoder, "generator": generator}[role], tmp_path / "ran"
    planted(folder, marker)
    monkeypatch.chdir(folder)
    if role == "bi-encoder":
        from harness.models.loaders import load_bi_encoder

        assert load_bi_encoder(folder, 32).encode(["lime"]).shape == (1, 32)
    else:
        from harness.models.language_models import load_language_model

        assert load_language_model(folder)[0].config.model_type == "llama"
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists(), "the payload is one"


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("role", ["bi-encoder", "generator"])
def test_code_that_a_configuration_names_is_not_run(
    file: str, role: Any, encoder: Path, generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = {"bi-encoder": encoder, "generator": generator}[role], tmp_path / "ran"
    planted(folder, marker)
    names = {
        "AutoConfig": "configuration_bert.X", "AutoModel": "modeling_bert.X", "AutoModelForCausalLM": "modeling_bert.X",
        "AutoTokenizer": ["tokenization_bert.X", None],
    }  # fmt: skip
    folders.edited(
        folder, file, lambda config: {**config, "auto_map": names, "model_type": "evil", "tokenizer_class": "X"}
    )
    monkeypatch.chdir(folder)
    assert "needs code that ships with it" in said(folder, role)
    # The loaders themselves, had nobody looked before; a terminal would be asked, and say yes.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    from harness.models.language_models import load_language_model
    from harness.stages.chunk import load_tokenizer

    (folder / "tokenizer.json").rename(folder / "aside")
    for load in (load_language_model, load_tokenizer):
        # What a library makes of it has no bound, but for the code.
        with contextlib.suppress(Exception):
            load(folder)
    assert not marker.exists()


# ---- chat templates


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = {
    "much text": "{{ 'a' * 99999999999 }}",
    "much text by a filter": "{{ 'a'|center(99999999999) }}",
    "a large number": "{{ 9 ** (9 ** 9) }}",
    "a wide format": "{{ '%99999999999d' % 1 }}",
    "text that doubles": "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "loops": LOOP,
    "loops that are tried again": LOOP + "{% generation %}{% endgeneration %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a module": "{{ cycler.__init__.__globals__.os.popen('touch ran').read() }}",
    "a module by another way": "{{ self._TemplateReference__context.environment.loader }}{% include '/etc/passwd' %}",
    "a file": "{% include '../secret' %}",
    "nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_bounds_and_reaches_nothing(
    name: str, generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.models.template_checks.SECONDS", 0.2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(SECRET)
    (generator / "chat_template.jinja").write_text(TEMPLATES[name] + tiny.CHAT_TEMPLATE)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(HarnessError) as refused:
        template_facts(generator, "Answer.", None)
    assert SECRET not in str(refused.value)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000
    assert not (tmp_path / "ran").exists()


def test_a_usual_template_is_within_bounds(generator: Path) -> None:
    assert template_facts(generator, "Answer.", None).system == "native"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_variables_of_a_template_are_found_without_computing_it(name: str) -> None:
    began = time.process_time()
    with bounded(5.0, 256):
        known = variables_of(TEMPLATES[name] + "{{ enable_thinking }}")
    assert time.process_time() - began < 2
    assert "enable_thinking" in known or name == "nested"


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("{{ a }}{% set b = 1 %}{{ b }}", {"a"}), ("{% for m in messages %}{{ m.x }}{% endfor %}", {"messages"}),
        ("{% if t is not defined %}{% set t = true %}{% endif %}{{ t }}", {"t"}),
        ("{% generation %}{{ a }}{% endgeneration %}", {"a"}), ("{{ 'a' * 3 }}{{ a|upper }}", {"a"}), ("{{ (", set()),
    ],
)  # fmt: skip
def test_variables_of_usual_templates(template: str, variables: set[str]) -> None:
    assert variables_of(template) == variables


def test_a_block_that_takes_too_long_is_ended_even_if_it_goes_on() -> None:
    tries = []

    def go_on() -> None:
        for number in range(3):
            tries.append(number)
            with contextlib.suppress(TookTooLong):
                while True:
                    pass
        while True:
            pass

    with pytest.raises(TookTooLong), bounded(0.1, 100):
        go_on()
    assert len(tries) == 3
    time.sleep(0.2)


def test_a_block_that_takes_too_much_memory_is_ended_and_the_next_has_it_again() -> None:
    code = (
        "from harness.models.bounded import bounded\n"
        "try:\n"
        "    with bounded(10.0, 100):\n"
        "        bytearray(300 << 20)\n"
        "except MemoryError:\n"
        "    print(len(bytearray(300 << 20)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(300 << 20)


def test_the_template_of_a_processor_that_is_nested_is_refused(generator: Path) -> None:
    (generator / "chat_template.jinja").unlink()
    (generator / "chat_template.json").write_text('{"a":' * 100_000)
    from harness.models.template_checks import tokenizer_of

    with pytest.raises(ConfigError, match="is no JSON"):
        ChatTemplate(tokenizer_of(generator))
