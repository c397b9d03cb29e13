"""`dep --help` and `--version` answer at once, and say what there is."""

import subprocess
import sys

import pytest

from dep import __version__

COMMANDS = (
    "pick",
    "report",
    "evaluate",
    "compare",
    "convert",
    "baseline",
    "relion-metrics",
    "info",
    "label",
    "train",
    "simulate",
    "export",
    "doctor",
    "bench",
)
HEAVY = ("torch", "numpy", "onnxruntime", "openvino", "onnx", "gemmi", "mrcfile", "PIL")


def test_the_version_is_said(dep):
    outcome = dep("--version")
    assert outcome.status == 0
    assert outcome.out.strip() == f"dep {__version__}"


def test_help_names_every_command(dep):
    outcome = dep("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert command in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(dep, command):
    outcome = dep(command, "--help")
    assert outcome.status == 0
    assert "Usage" in outcome.out


@pytest.mark.parametrize("words", [["--help"], ["pick", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    program = (
        "import sys\n"
        "from dep.cli.main import app\n"
        "try:\n"
        f"    app({words!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(' '.join(loaded) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_wrong_use(dep):
    assert dep("peck").status == 2


def test_an_unknown_option_is_wrong_use(dep):
    assert dep("pick", "a.mrc", "--frobnicate").status == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("pick", ""), "an empty word"),
        (("info", ""), "an empty word"),
        (("convert", "a.csv", ""), "an empty word"),
        (("pick", "a.mrc", "-o", ""), "an empty word"),
        (("pick", "a.mrc", "--mask="), "an empty --mask"),
    ],
)
def test_an_empty_word_is_not_the_current_folder(dep, words, found):
    outcome = dep(*words)
    assert outcome.status == 2
    assert f"found {found}: is a variable of the shell unset?" in outcome.err
