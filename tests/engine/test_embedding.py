"""The example of docs/embedding.md, run as it stands."""

import logging
import re
import threading
from pathlib import Path

import pytest


@pytest.fixture
def example(root):
    text = (root / "docs/embedding.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    return names


def test_it_picks_what_comes_and_survives_what_is_broken(
    example, tiny_model, make_tomogram, tmp_path, caplog
):
    for name in ("TS_01", "TS_03"):
        make_tomogram(tmp_path / f"{name}.mrc")
    (tmp_path / "TS_02.mrc").write_bytes(b"half a file")
    for number in (1, 2, 3):
        example["finished"].put(tmp_path / f"TS_0{number}.mrc")
    example["finished"].put(None)
    caplog.set_level(logging.INFO)
    example["pick_all"](tiny_model, tmp_path, logging.getLogger("pipeline"))
    assert (tmp_path / "TS_01.star").read_text().count("\n") > 10
    assert (tmp_path / "TS_03.star").exists()
    assert not (tmp_path / "TS_02.star").exists()
    words = [
        (one.levelname, one.message) for one in caplog.records if one.name == "pipeline"
    ]
    assert [level for level, _ in words] == ["INFO", "ERROR", "INFO"]
    assert "TS_02.mrc" in words[1][1]


def test_it_is_twenty_lines(root):
    text = (root / "docs/embedding.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20


def test_it_stops_when_told(example, tiny_model, make_tomogram, tmp_path):
    from dep.engine import StoppedError

    make_tomogram(tmp_path / "a.mrc")
    for _ in range(50):
        example["finished"].put(tmp_path / "a.mrc")
    example["finished"].put(None)
    ended = []

    def run():
        try:
            example["pick_all"](tiny_model, tmp_path, logging.getLogger("pipeline"))
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not Path(tmp_path / "a.star").exists():
        thread.join(0.01)
    example["stop"].set()
    thread.join(20)
    assert len(ended) == 1
    assert not example["finished"].empty()
