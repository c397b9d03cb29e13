"""Every kernel compiles for every architecture, within registers and shared memory."""

import importlib.util
import re
import shutil
import subprocess

import pytest

from dep.kernels.cuda.device import kernel_files


@pytest.fixture(scope="module")
def cubins(root):
    spec = importlib.util.spec_from_file_location(
        "cubins", root / "benchmarks" / "cubins.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_kernels_compile_for_all_architectures(cubins):
    if not shutil.which("nvcc"):
        pytest.importorskip("cuda.core", reason="neither nvcc nor cuda.core is here")
    table = cubins.compile_all()
    assert set(table) == set(kernel_files())
    for name, found in table.items():
        assert set(found) == {f"sm_{one}" for one in cubins.ARCHITECTURES}, name
        for numbers in found.values():
            if numbers:  # NVRTC gives none
                assert 0 < numbers["registers"] <= 128
                assert numbers["spilled_bytes"] == 0
                assert numbers["shared_bytes"] <= 48 << 10


def test_denormals_count_though_cupy_flushes_them(cubins, tmp_path):
    """Comparisons and conversions of floats whose result is to be exact are told so."""
    if not shutil.which("nvcc"):
        pytest.skip("needs nvcc")
    assert "-ftz=true" in cubins.FLAGS
    flushing = {}
    for path in sorted(set(kernel_files().values())):
        out = tmp_path / f"{path.stem}.ptx"
        command = ["nvcc", *cubins.FLAGS, "-arch=sm_90", "-ptx", "-o", out, path]
        subprocess.run(command, check=True, capture_output=True)
        text = out.read_text()
        found = re.findall(r"(?:setp?|cvt)\.\S*ftz\S*", text)
        flushing[path.stem] = set(found)
        if path.stem == "assemble":
            assert text.count("set.gt.u32.f32") > 20
    assert flushing == {
        # Of the softmax, the sigmoid and the last rounding, where a denormal is as 0.
        "assemble": {
            "cvt.ftz.sat.f32.f32",
            "cvt.rzi.ftz.u32.f32",
            "setp.leu.ftz.f32",
            "setp.lt.ftz.f32",
        },
        "deduplicate": set(),
        # Scores and coordinates in voxels: ratios of integers, none of them that small.
        "nms": {"cvt.rn.ftz.f32.f64"},
    }


def test_a_kernel_that_does_not_compile_is_told(cubins, tmp_path):
    if not shutil.which("nvcc"):
        pytest.skip("needs nvcc")
    broken = tmp_path / "broken.cu"
    broken.write_text('extern "C" __global__ void k(int *a) { a[0] = nothing; }\n')
    with pytest.raises(RuntimeError, match=r"broken\.cu for sm_90.*nothing"):
        cubins.by_nvcc(broken, "90")


def test_kernels_have_one_name_each(tmp_path):
    text = 'extern "C" __global__ void __launch_bounds__(256)\nsame(int *a) {}\n'
    for name in "ab":
        (tmp_path / f"{name}.cu").write_text(text)
    with pytest.raises(ValueError, match=r"kernel same is in both .*a\.cu and .*b\.cu"):
        kernel_files(tmp_path)
