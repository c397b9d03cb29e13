"""A record that is damaged, moved or old still has a report, or says why not."""

import contextlib
import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_pages import report

from dep.engine.errors import ReportError
from dep.engine.report import write_report


class TestRecord:
    """Records that are old, damaged or odd are told from those that are not ours."""

    def test_older_records_without_sizes_and_cards_do(self, make_run):
        run = make_run()
        run.record = {"models": None}
        found = run.add("TS_01")
        entry = run.entries["TS_01"]
        for key in ("size_xyz", "voxel_size", "settings", "seconds", "warnings"):
            del entry[key]
        found.write(run.path / "TS_01.star")
        entry["outputs"]["relion5"] = "TS_01.star"
        page = report(run.write())
        assert page.data["tomograms"]["0"]["radii"] == [4.0, 10.0]
        assert "80 \u00d7 60 \u00d7 24 voxels of 1 nm" in page.text

    def test_coordinates_that_are_gone_are_a_remark(self, make_run):
        run = make_run()
        run.add("TS_01")
        run.add("TS_02")
        folder = run.write()
        (folder / "TS_01.csv").unlink()
        (folder / "TS_02.csv").write_text("no,table\n1\n")
        page = report(folder)
        assert f"{folder / 'TS_01.csv'}: no such file" in page.text
        assert "TS_02.csv: no column" in page.text
        assert "2 of 2" in page.text

    def test_coordinates_without_scores_are_said(self, make_run):
        run = make_run()
        found = run.add("TS_01")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that scores and names are lost
            found.write(run.path / "TS_01.coords")
        run.entries["TS_01"]["outputs"] = {"coords": "TS_01.coords"}
        page = report(run.write(), count=1)
        assert "TS_01.coords: this format holds no scores" in page.text
        assert "30 picks" in page.text

    def test_no_record_leads_out_of_its_folder(self, make_run):
        run = make_run()
        run.add("TS_01", outputs={"csv": "../secret.csv", "star": "/etc/passwd"})
        page = report(run.write())
        assert "no coordinate file that can be read back" in page.text
        assert "secret" not in page.text
        assert [one["href"] for one in page.of("a") if "#" not in one["href"]] == [
            "./run.json"
        ]

    def test_models_of_two_runs_into_one_folder_are_both_shown(self, make_run):
        run = make_run()
        run.add("TS_01")
        model = {"name": "other", "file": "o.onnx", "weights_digest": "e" * 64}
        run.add("TS_02", model=model)
        page = report(run.write(), count=0)
        assert "Model cards" in page.text
        assert "1 tomogram: TS_01 Model balls" in page.text
        assert "e" * 64 in page.text

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "no run.json here; expected a folder that `dep pick -o` wrote"),
            ("{", "not a record"),
            ("[]", "not a record"),
            ('{"tomograms": {"a": 1}}', "has no status"),
            ('{"run_version": 9, "tomograms": {}}', "Upgrade dep"),
        ],
    )
    def test_what_is_no_record_is_refused(self, tmp_path, text, words):
        if text is not None:
            (tmp_path / "run.json").write_text(text)
        with pytest.raises(ReportError, match=words):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e400, 10**400])
    def test_numbers_beyond_belief_are_unknown(self, make_run, number):
        run = make_run()
        run.add("TS_01", seconds=number, voxel_size=number)
        page = report(run.write(), count=1)
        assert "nan" not in page.text.lower()
        assert "inf " not in page.text.lower()
        json.dumps(page.data, allow_nan=False)  # a browser's JSON has no NaN

    def test_the_record_itself_is_no_folder(self, plain):
        with pytest.raises(ReportError, match="expected a folder that `dep pick -o`"):
            write_report(plain / "run.json")

    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.data())
    def test_whatever_a_record_holds_it_is_reported_or_refused(self, plain, data):
        document = json.loads((plain / "run.json").read_text())
        values = st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda some: st.lists(some) | st.dictionaries(st.text(), some),
            max_leaves=4,
        )
        for _ in range(data.draw(st.integers(1, 3))):
            place = document
            while True:
                keys = list(place)
                key = data.draw(st.sampled_from(keys))
                if not isinstance(place[key], dict) or not place[key]:
                    break
                if data.draw(st.booleans()):
                    break
                place = place[key]
            place[key] = data.draw(values)
            if not isinstance(document.get("tomograms"), dict):
                break
        other = plain.parent / "mutated"
        other.mkdir(exist_ok=True)
        (other / "run.json").write_text(json.dumps(document))
        with contextlib.suppress(ReportError):
            report(other, count=0)
