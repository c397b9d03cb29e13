"""In a browser the page filters, sorts and turns, asks nobody, and fits the screen."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dep.engine import ClassInfo
from dep.engine.report import write_report

CHROMIUM = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")  # closed before other tests run
def browser():
    """Headless Chromium; skips where there is none."""
    reason = "no Chromium here: install one (Debian: chromium), or set DEP_CHROMIUM"
    found = [os.environ.get("DEP_CHROMIUM"), *map(shutil.which, CHROMIUM)]
    program = next((one for one in found if one), None)
    if program is None:
        pytest.skip(reason)
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with playwright.sync_playwright() as player:
        # Chromium's own sandbox does not work for root, nor in most containers.
        running = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def visit(browser):
    """Give a function that opens a page; fails at its end if the page complained."""
    complaints = []
    contexts = []

    def open_page(path, viewport=LAPTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:"))
                else complaints.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def picks(count, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    return (
        (rng.uniform(0, 1, (count, 3)) * (79, 59, 23)).round(1),
        rng.integers(1, classes + 1, count),
        np.sort(rng.uniform(0.5, 1, count).round(4))[::-1],
    )


@pytest.fixture
def made(make_run):
    """Two tomograms with known picks, one that failed, and the page about them."""
    run = make_run()
    both = picks(90), picks(40, seed=1)
    run.add("TS_01", picks=both[0], seconds=3.0)
    run.add("TS_02", picks=both[1], seconds=9.0)
    run.fail("TS_00", "the file ends early")
    return both, write_report(run.write())


def set_threshold(page, value):
    """Move the slider to the first step that is not below `value`."""
    page.eval_on_selector(
        "#threshold",
        """(slider, value) => {
            const data = JSON.parse(document.getElementById("data").textContent);
            slider.value = Math.ceil((value * 10000 - data.low) / data.step);
            slider.dispatchEvent(new Event("input"));
        }""",
        value,
    )
    return float(page.inner_text("#least"))


def counts(page):
    """What the table says: tomogram -> picks, and each class."""
    rows = page.eval_on_selector_all(
        "#overview tbody tr[data-t]",
        """rows => rows.filter(row => row.dataset.t).map(row => [
            row.querySelector(".name").textContent,
            ...[...row.querySelectorAll("[data-c]")].map(cell => cell.textContent)])""",
    )
    return {name: [int(number) for number in numbers] for name, *numbers in rows}


def circles(page, index=0):
    """How many circles the slice of a tomogram shows."""
    return int(page.locator(".stage").nth(index).get_attribute("data-circles"))


def cut(xyz, class_id, z):
    """Which picks a plane cuts; radii of 4 and 10 voxels."""
    radius = np.where(class_id == 1, 4.0, 10.0)
    return np.abs(xyz[:, 2].astype(np.float32) - z) < radius


def test_the_slider_filters_counts_and_circles(visit, made):
    (first, second), path = made
    page = visit(path)
    for wanted in (0.5, 0.62, 0.8, 0.995):
        threshold = set_threshold(page, wanted)
        table = counts(page)
        for name, (_, class_id, score) in (("TS_01", first), ("TS_02", second)):
            passing = score >= threshold
            assert table[name] == [
                passing.sum(),
                (passing & (class_id == 1)).sum(),
                (passing & (class_id == 2)).sum(),
            ]
        xyz, class_id, score = first
        shown = cut(xyz, class_id, 12) & (score >= threshold)
        assert circles(page) == shown.sum()
    page.click("#reset")
    assert counts(page)["TS_01"][0] == 90
    assert page.inner_text("#passing") == "130 picks"


def test_the_keyboard_moves_the_slider(visit, made):
    page = visit(made[1])
    before = float(page.inner_text("#least"))
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert float(page.inner_text("#least")) == pytest.approx(before + 0.01, abs=1e-6)
    assert "score at least" in page.get_attribute("#threshold", "aria-valuetext")


def test_the_legend_takes_classes_off_the_slices(visit, made):
    (first, _), path = made
    page = visit(path)
    xyz, class_id, _ = first
    shown = cut(xyz, class_id, 12)
    page.uncheck("[data-class='1']")
    assert circles(page) == (shown & (class_id == 1)).sum()
    page.click("#none")
    assert circles(page) == 0
    page.click("#all")
    assert circles(page) == shown.sum()


def test_the_depth_slider_turns_to_another_slice(visit, made):
    (first, _), path = made
    page = visit(path)
    card = page.locator(".card").first
    slices = card.locator("img")
    assert [one.is_visible() for one in slices.all()] == [False, False, True] + [
        False
    ] * 2
    card.locator("input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert slices.nth(3).is_visible()
    assert not slices.nth(2).is_visible()
    assert card.locator("output").inner_text() == "16 of 24"
    xyz, class_id, _ = first
    assert circles(page) == cut(xyz, class_id, 16).sum()


def test_circles_lie_where_the_picks_are_with_the_radius_of_the_cut(visit, make_run):
    run = make_run()
    # Radius 10, 6 voxels off the plane z = 12: the cut's radius is 8.
    run.add("TS_01", picks=([(30, 20, 18)], [2], [0.9]))
    page = visit(write_report(run.write(), count=1))
    path = page.get_attribute(".stage .line", "d")
    x, y, r = map(float, re.match(r"M(\S+) (\S+)a(\S+) ", path).groups())
    assert (x + r, y, r) == pytest.approx((30.5, 60 - 20.5, 8.0))  # y points up
    # On the screen as well, whatever the size of the slice.
    stage = page.locator(".stage").bounding_box()
    circle = page.locator(".stage .line").evaluate(
        "one => { const b = one.getBBox(); const m = one.getScreenCTM();"
        "return [m.a * (b.x + b.width / 2) + m.e, m.d * (b.y + b.height / 2) + m.f]; }"
    )
    scale = stage["width"] / 80
    assert circle[0] - stage["x"] == pytest.approx(30.5 * scale, abs=1)
    assert circle[1] - stage["y"] == pytest.approx(39.5 * scale, abs=1)
    page.mouse.move(*circle)
    assert page.inner_text(".tip") == "big \u00b7 score 0.900 \u00b7 x, y, z 30, 20, 18"


def test_arrow_keys_go_from_pick_to_pick(visit, make_run):
    run = make_run()
    places = [(30, 20, 12), (50, 20, 12), (20, 40, 12)]
    run.add("TS_01", picks=(places, [2, 1, 2], [0.9, 0.8, 0.7]))
    page = visit(write_report(run.write(), count=1))
    stage, tip = page.locator(".stage"), page.locator(".tip")

    def press(key):
        page.keyboard.press(key)
        return tip.inner_text().rsplit("z ")[-1] if tip.is_visible() else None

    stage.focus()
    seen = [press(key) for key in ("ArrowRight", "ArrowDown", "ArrowRight")]
    assert sorted(seen) == ["20, 40, 12", "30, 20, 12", "50, 20, 12"]
    assert press("ArrowRight") == seen[0]
    assert press("ArrowLeft") == seen[2]
    assert press("Escape") is None
    assert press("ArrowUp") == seen[2]  # from the end
    stage.blur()
    assert tip.is_hidden()


def test_columns_sort_and_what_was_not_picked_stays_last(visit, made):
    page = visit(made[1])

    def order():
        return page.locator("#overview tbody .name").all_inner_texts()

    heading = page.locator("#overview thead th", has_text="Time")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert order() == ["TS_02", "TS_01", "TS_00"]
    heading.get_by_role("button").click()
    assert order() == ["TS_01", "TS_02", "TS_00"]
    page.locator("#overview thead th", has_text="Tomogram").get_by_role(
        "button"
    ).click()
    assert order() == ["TS_00", "TS_01", "TS_02"]
    assert heading.get_attribute("aria-sort") == "none"
    scores = page.locator("#overview thead th", has_text="Scores")
    scores.get_by_role("button").click()
    medians = [np.median(one[2]) for one in made[0]]
    best = ["TS_01", "TS_02"] if medians[0] > medians[1] else ["TS_02", "TS_01"]
    assert order() == [*best, "TS_00"]


GROUND = "getComputedStyle(document.body).backgroundColor"


def brightness(page):
    return sum(map(int, re.findall(r"\d+", page.evaluate(GROUND))[:3])) / 3


def test_dark_where_the_system_is_and_where_the_reader_says_so(visit, made):
    light = visit(made[1], color_scheme="light")
    dark = visit(made[1], color_scheme="dark")
    assert brightness(light) > 200
    assert brightness(dark) < 50
    for page, order in ((light, (True, False)), (dark, (True, False))):
        for bright in order:  # auto -> light -> dark
            page.click("#theme")
            assert (brightness(page) > 128) == bright
    light.reload()
    light.wait_for_selector("html[data-ready]")
    for _ in range(50):  # a busy browser may paint later
        if brightness(light) < 50:
            break
        light.wait_for_timeout(100)
    assert brightness(light) < 50, "the choice is kept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_nothing_is_wider_than_the_screen(visit, make_run, viewport, scheme):
    run = make_run(
        classes=tuple(ClassInfo(f"a long class name {k}", 150.0) for k in range(14))
    )
    run.add("TS_" + "01_" * 30, picks=picks(60, classes=14), warnings=["w" * 300])
    run.add("TS_02", shape=(4, 20, 300))
    run.fail("TS_03", "/a/very/long/path" * 20)
    run.record = {"command": ["dep", "pick", "x" * 400]}
    page = visit(write_report(run.write()), viewport, color_scheme=scheme)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == viewport["width"]
    page.click("summary")
    assert page.evaluate(wide) == viewport["width"]


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>document.title = 'harmed'</script>",
        '"><img src=x onerror="document.title = `harmed`">',
        "<svg onload=\"document.title = 'harmed'\">",
    ],
)
def test_a_harmful_name_is_only_read(visit, make_run, name):
    run = make_run(classes=(ClassInfo(name, 80.0),))
    run.add(name, picks=picks(30, classes=1), warnings=[name], file="a")
    run.fail(name + " too", name)
    page = visit(write_report(run.write(), title=name))
    set_threshold(page, 0.7)
    assert page.title() == f"{name}: picks"
    assert page.inner_text("h3") == name
    assert page.inner_text("h1") == name


def test_even_a_program_that_got_in_would_not_run(visit, made, tmp_path):
    text = made[1].read_text(encoding="utf-8")
    path = tmp_path / "harmed.html"
    path.write_text(text.replace("<h1", "<script>window.harm = 1</script><h1", 1))
    page = visit(path)
    assert page.evaluate("window.harm") is None
    assert any("Content Security Policy" in one for one in visit.complaints)
    visit.complaints.clear()


def contrast(one, other):
    """Give the ratio of WCAG 2.1 of two colours, #rrggbb."""

    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        ]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_bars_stand_out_from_their_ground(theme):
    import dep.engine.report

    style = Path(dep.engine.report.__file__).with_name("page.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    colours = {name: both[theme == "dark"] for name, *both in pairs}
    for ink in ("ink", "soft", "accent"):
        for ground in ("ground", "panel", "wash"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for kind in ("bad", "warn"):
        assert contrast(colours[kind], colours[f"{kind}-wash"]) >= 4.5
    assert contrast(colours["bar"], colours["panel"]) >= 3  # WCAG 1.4.11: graphics


def test_tomograms_are_found_by_name_status_and_notes(visit, make_run):
    run = make_run()
    for k in range(8):
        run.add(f"TS_{k:02d}", picks=20)
    run.add("Other_1", picks=0)
    run.fail("TS_99", "the file ends early")
    page = visit(write_report(run.write(), count=1))

    def shown():
        rows = page.locator("#overview tbody tr").all()
        cards = page.locator(".card h3").all()
        return (
            [one.locator(".name").inner_text() for one in rows if one.is_visible()],
            [one.inner_text() for one in cards if one.is_visible()],
        )

    for words, found, drawn in (
        ("ts_03", ["TS_03"], ["TS_03"]),
        ("note", ["Other_1"], ["Other_1"]),
        ("ts failed", ["TS_99"], []),
        ("nothing like it", [], []),
    ):
        page.fill("#find", words)
        assert shown() == (found, drawn)
        assert page.inner_text("#shown") == f"{len(found)} of 10"
    page.click("#attention a")  # to a card that is not shown
    assert page.locator(".card").last.is_visible()
    assert [len(one) for one in shown()] == [10, 9]
    assert page.inner_text("#shown") == ""


def test_on_paper_it_is_light_whole_and_has_its_legend(visit, made):
    page = visit(made[1], PHONE, color_scheme="dark")
    assert page.get_attribute("#classes", "open") is None  # closed on a phone
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert brightness(page) == 255
    assert page.locator("[data-total='0']").is_visible()
    assert not page.locator("#theme").is_visible()
    (first, second), _ = made
    for index, (xyz, class_id, _) in enumerate((first, second)):
        assert circles(page, index) == cut(xyz, class_id, 12).sum()
