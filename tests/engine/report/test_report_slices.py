"""Slices show what was picked, within the bytes that a page may have."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from report_pages import Page, report

from dep.engine import ClassInfo, Volume
from dep.engine.report import write_report


class TestSlices:
    """Slices hold the picks that they cut, and are read alone."""

    def test_a_pick_is_shown_where_its_sphere_is_cut(self, make_run):
        # Radius 4 voxels (class 1) and 10 (class 2); the only slice is z = 12.
        xyz = [(10, 10, 12), (20, 20, 16.5), (30, 30, 8.5), (40, 30, 21), (50, 30, 23)]
        picks = (xyz, [1, 1, 1, 2, 2], [0.9, 0.8, 0.7, 0.6, 0.5])
        run = make_run()
        run.add("TS_01", picks=picks)
        one = report(run.write(), count=1).data["tomograms"]["0"]
        assert one["z"] == [12]
        assert one["radii"] == [4.0, 10.0]
        shown = np.array(one["picks"]).reshape(-1, 5)
        assert shown.tolist() == [
            [100, 100, 120, 0, 9000],
            [300, 300, 85, 0, 7000],
            [400, 300, 210, 1, 6000],
        ]

    def test_only_their_planes_are_read(self, make_run, monkeypatch):
        seen = []
        read = Volume.read

        def watched(self, z0, z1):
            seen.append((z0, z1))
            return read(self, z0, z1)

        monkeypatch.setattr(Volume, "read", watched)
        run = make_run()
        run.add("TS_01", shape=(100, 20, 20))
        report(run.write(), count=3)
        assert len(seen) == 3 * 5  # 50 Å of 10 Å voxels each
        assert all(z1 - z0 == 1 for z0, z1 in seen)

    @pytest.mark.parametrize("shape", [(2, 8, 8), (2, 300, 5), (3, 5, 300), (40, 9, 9)])
    def test_any_shape_is_shown(self, make_run, shape):
        run = make_run()
        run.add("TS_01", picks=5, shape=shape)
        page = report(run.write())
        assert page.of("img")
        assert page.data["tomograms"]["0"]["size"] == list(shape[::-1])

    def test_voxels_that_are_no_numbers_are_black(self, make_run, tmp_path):
        import mrcfile

        path = tmp_path / "nan.mrc"
        with warnings.catch_warnings(), mrcfile.new(path) as mrc:
            warnings.simplefilter("ignore")  # that there are such voxels
            voxels = np.random.default_rng(0).normal(0, 1, (8, 32, 32))
            voxels[:, :16] = np.nan
            mrc.set_data(voxels.astype(np.float32))
            mrc.voxel_size = 10.0
        run = make_run()
        run.add("TS_01", shape=(8, 32, 32), source=path)
        assert report(run.write()).of("img")

    def test_a_tomogram_that_is_gone_is_said(self, make_run):
        run = make_run()
        run.add("TS_01")
        run.add("TS_02")
        folder = run.write()
        (folder / "TS_01.mrc").unlink()
        page = report(folder, count=1)
        assert f"no slices: {folder / 'TS_01.mrc'} is not there" in page.text
        assert len(page.of("img")) == 1

    def test_moved_tomograms_are_found_in_their_new_folder(self, make_run, tmp_path):
        run = make_run()
        run.add("TS_01")
        folder = run.write()
        (tmp_path / "new").mkdir()
        (folder / "TS_01.mrc").rename(tmp_path / "new" / "TS_01.mrc")
        assert not report(folder).of("img")
        assert report(folder, tomograms=tmp_path / "new").of("img")

    def test_a_tomogram_that_has_changed_is_said(self, make_run):
        run = make_run()
        run.add("TS_01")
        folder = run.write()
        assert "has changed" not in report(folder).text
        os.utime(folder / "TS_01.mrc", ns=(0, 10**18))
        page = report(folder)
        assert "has changed since it was picked" in page.text
        assert page.of("img")

    def test_a_tomogram_of_another_size_is_not_shown(self, make_run):
        run = make_run()
        run.add("TS_01", size_xyz=[99, 60, 24])
        page = report(run.write())
        assert "is of another size now, 80 x 60 x 24" in page.text
        assert not page.of("img")

    def test_an_address_is_not_fetched(self, make_run):
        run = make_run()
        run.add("TS_01", source_=None, **{})
        run.entries["TS_01"]["source"] = {"path": "https://example.org/TS_01.zarr"}
        page = report(run.write())
        assert "https://example.org/TS_01.zarr is not on this machine" in page.text

    @pytest.mark.usefixtures("without_pillow")
    def test_without_pillow_the_extra_is_named(self, plain):
        with pytest.raises(ModuleNotFoundError, match=r"dep\[picture\]"):
            write_report(plain)
        assert not report(plain, count=0).of("img")


class TestSize:
    """The page keeps below the size asked for, and says what it leaves out."""

    @pytest.fixture
    def many(self, make_run):
        def make(count, shape, picks=60, classes=12):
            run = make_run(
                classes=tuple(ClassInfo(f"class {k}", 150.0) for k in range(classes))
            )
            first = run.add("TS_000", picks=picks, shape=shape)
            source = Path(run.entries["TS_000"]["tomogram"])
            values = (first.xyz, first.class_id, first.score)
            for k in range(1, count):
                run.add(f"TS_{k:03d}", picks=values, shape=shape, source=source)
            return run.write()

        return make

    def test_twenty_large_tomograms_stay_below_five_megabytes(self, many):
        path = write_report(many(20, (6, 230, 210), 400, 3))
        assert 2e6 < path.stat().st_size < 5e6
        page = Page(path)
        shown = page.data["tomograms"].values()
        assert len([one for one in shown if "z" in one]) == 20

    def test_where_there_is_little_room_the_first_have_slices(self, many):
        path = write_report(many(30, (8, 200, 200), 20, 3), megabytes=0.4)
        assert path.stat().st_size < 0.45e6
        page = Page(path)
        shown = [k for k, one in page.data["tomograms"].items() if "z" in one]
        assert 2 <= len(shown) < 30
        assert shown == [str(k) for k in range(len(shown))]
        assert f"Slices of the first {len(shown)} of 30 tomograms" in page.text
        assert len(page.of("article")) == 30

    def test_two_hundred_tomograms_are_one_page(self, many):
        path = write_report(many(200, (8, 24, 24), 3, 1))
        assert path.stat().st_size < 5e6
        page = Page(path)
        assert len(page.data["tomograms"]) == 200
        assert page.text.count("TS_199") >= 2
