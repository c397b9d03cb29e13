"""Advice on the sizes of particles is advice that fits."""

from hypothesis import given
from hypothesis import strategies as st

from dep.train.advice import LEAST, MOST, fitting_voxels, largest_label, size_warnings
from dep.train.sections import ClassSection

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
COMPLETE = "fully_annotated = true\n"
SHAPE = (28, 36, 40)  # of the fixture's tomograms: z, y, x


class TestAdvice:
    def sections(self, *widths, report=True):
        return [
            ClassSection(name=f"w{width:g}", diameter=width * 5, report=report)
            for width in widths
        ]

    def test_sizes_that_train_well_are_passed_over(self):
        assert size_warnings(self.sections(7, 8.6, 25), [7, 7, 7], 5.0) == []

    def test_the_binning_that_fits_is_named(self):
        (line,) = size_warnings(self.sections(30.5, 60.5), [7, 7], 5.0)
        assert "w30.5 (30.5), w60.5 (60.5)" in line
        assert "binning by 3 more would fit (voxels of 15 Å)" in line
        (line,) = size_warnings(self.sections(5), [3], 5.0)
        assert "binning 3 times less would fit (voxels of 1.667 Å)" in line

    def test_even_widths_and_wide_labels_of_unreported_classes(self):
        (line,) = size_warnings(self.sections(14), [7], 5.0)
        assert "even number of voxels: w14 (14)" in line
        (line,) = size_warnings(self.sections(7.5, report=False), [9], 5.0)
        assert "wider than the particles" in line

    @given(st.lists(st.floats(1, 400), min_size=1, max_size=4))
    def test_a_binning_that_is_named_does_fit(self, widths):
        words = fitting_voxels(widths, 1.0)
        if "voxels of " in words and "no one" not in words:
            size = float(words.split("voxels of ")[1].split()[0])
            assert min(widths) / size >= LEAST * 0.999
            assert max(widths) / size <= MOST * 1.001
        else:
            assert max(widths) / min(widths) > 2  # no factor fits all of these

    @given(st.floats(3, 40))
    def test_the_largest_label_is_odd_and_inside(self, width):
        label = largest_label(width)
        assert label % 2 == 1
        assert 3 <= label <= 7
        assert label <= width + 1e-6
        assert label + 2 > min(width, 7)
