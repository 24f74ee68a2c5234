"""The report in a real browser: the system's Chromium, driven by Playwright, and axe-core for contrast.

`.ci/run` installs both. axe-core comes from npm: TSSR_AXE names its axe.min.js.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from tssr.cli import main

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>document.title='taken over'</script>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def report(reported):
    output = reported / "browser.html"
    main(["report", "--workspace", str(reported), "--output", str(output)])
    return output


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; .ci/run installs one")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, report):
    """Open the report; at the end nothing may have been said on the console or asked of a network."""
    said, asked, pages = [], [], []

    def open_page(width=1280, theme="light", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
        )
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{report}")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []


def open_map(page):
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map[data-ready]")
    return page.locator("#map-canvas")


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_all_pictures_load_and_nothing_is_wider_than_the_screen(opened, width, theme):
    page = opened(width, theme)
    open_map(page)
    broken = page.evaluate(
        """async () => {
            const images = [...document.images];
            images.forEach((image) => { image.loading = "eager"; });
            await Promise.all(images.filter((i) => i.offsetParent).map((image) => image.decode()));
            return images.filter((i) => i.offsetParent && i.naturalWidth === 0).length;
        }"""
    )
    assert broken == 0
    assert page.locator("#user img").count() >= 30
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() == "hm: report of 3 runs"


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_axe_finds_nothing_against_wcag_aa(opened, width, theme):
    axe = os.environ.get("TSSR_AXE")
    if not axe or not Path(axe).is_file():
        pytest.skip("TSSR_AXE names no axe.min.js; .ci/run fetches it")
    page = opened(width, theme)
    open_map(page).focus()
    page.keyboard.press("Enter")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })"
    )
    told = [(v["id"], v["nodes"][0]["html"][:160], len(v["nodes"])) for v in found["violations"]]
    assert told == []


def test_a_table_is_sorted_by_a_press_on_its_head(opened):
    page = opened()
    table = page.locator("[data-mask=none] table.metrics")
    column = table.locator("thead button", has_text="NDCG@5")
    cells = "rows => rows.map(row => Number(row.querySelectorAll('td')[1].dataset.value))"
    column.press("Enter")
    falling = table.locator("tbody tr").evaluate_all(cells)
    assert falling == sorted(falling, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    column.press("Enter")
    assert table.locator("tbody tr").evaluate_all(cells) == falling[::-1]


def test_masks_and_metrics_are_chosen(opened):
    page = opened()
    shown = "parts => parts.filter(p => !p.hidden).map(p => p.dataset.mask)"
    assert page.locator("[data-mask]").evaluate_all(shown) == ["none"]
    page.get_by_text("Whole history masked").first.click()
    assert page.locator("[data-mask]").evaluate_all(shown) == ["hard"]
    page.locator("fieldset[data-choice=metric]").get_by_text("Recall@5").click()
    seen = page.locator("[data-mask=hard] [data-metric]").evaluate_all(
        "parts => new Set(parts.filter(p => !p.hidden).map(p => p.dataset.metric)).size"
    )
    assert seen == 1


def test_the_theme_goes_from_the_systems_to_light_and_dark_and_back(opened):
    page = opened(theme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.locator("#theme").click()
    light = page.evaluate(paper)
    assert light != dark
    page.locator("#theme").click()
    assert page.evaluate(paper) == dark
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Colours: auto"


def test_filters_leave_the_users_they_name(opened):
    page = opened()
    users = json.loads(page.locator("#users-data").text_content())["users"]
    found = [u["ranks"][2] is not None and u["ranks"][2] < 11 for u in users]
    missed = [u["ranks"][0] is None or u["ranks"][0] >= 11 for u in users]
    page.locator("select[name=found]").select_option(label="TSSR")
    page.locator("select[name=missed]").select_option(label="PopRec")
    both = sum(a and b for a, b in zip(found, missed, strict=True))
    assert 0 < both < len(users)
    assert page.locator("#user-list button").count() == both
    assert page.locator("#user .tile.taken").count() >= 1
    page.locator("input[name=new]").check()
    new = sum(a and b and u["new"] for a, b, u in zip(found, missed, users, strict=True))
    assert page.locator("#user-count").inner_text() == f"{new} of {len(users)} users"
    page.locator("input[name=rare]").check()
    assert "No user drawn here passes these filters" in page.locator("#user").inner_text()


def test_the_users_are_walked_through_by_keyboard(opened):
    page = opened()
    first = page.locator("#user h3").inner_text()
    page.get_by_role("button", name="Next").press("Enter")
    second = page.locator("#user h3").inner_text()
    assert second != first
    assert page.locator("#user-list [aria-current=true]").inner_text().split()[0] in second
    page.get_by_role("button", name="Previous").press("Enter")
    assert page.locator("#user h3").inner_text() == first


def test_the_map_is_searched_zoomed_and_coloured_and_titles_stay_text(opened):
    page = opened()
    canvas = open_map(page)
    painted = "canvas => canvas.toDataURL()"
    before = canvas.evaluate(painted)
    page.get_by_role("button", name="Zoom in").click()
    assert canvas.evaluate(painted) != before
    page.get_by_role("button", name="Show all items").click()
    assert canvas.evaluate(painted) == before
    page.locator("#map-colour").select_option(index=1)
    assert canvas.evaluate(painted) != before
    assert page.locator("#map-legend .swatch").count() >= 2
    page.locator("#map .choice span", has_text="image").click()
    page.locator("#map-search").fill("</SCRIPT>")
    assert "1 titles hold" in page.locator("#map-found").inner_text()
    page.locator("#map-found button").click()
    assert page.locator("#map-item h3").inner_text() == HOSTILE
    assert page.locator("#map-item .beside h4").count() == 2
    assert page.locator("#map-item .beside li").count() == 16
    page.locator("#map-search").fill('"it\'s" & left')
    page.locator("#map-found button").click()
    assert page.locator("#map-item h3").inner_text() == 'She said "it\'s" & left'
    assert page.title() == "hm: report of 3 runs"


def test_it_can_be_read_without_scripts(opened):
    page = opened(scripts=False)
    assert page.locator("#browser").is_hidden()
    assert page.locator(".no-js-only article").count() == 3
    assert page.locator(".no-js-only article").first.is_visible()
    masks = page.locator("[data-mask]")
    assert [masks.nth(i).is_visible() for i in range(3)] == [True] * 3
    assert "drawn by a script" in page.locator("#items").inner_text()


def test_it_prints_light_without_controls(opened):
    page = opened(theme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".contents").is_hidden()
    assert page.locator("#user-filters").is_hidden()
    assert len(page.pdf()) > 50_000
