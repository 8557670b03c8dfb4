"""The status page in a real browser: it renders, updates, fits a phone, and loads nothing from elsewhere.

Screenshots are in `target/interop`. `UPDATE_SCREENSHOT=<admin address>` renews docs/status-page.png from a gateway with
15 minutes of traffic.
"""

import contextlib
import json
import os
import re
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import processes
from python_client import embed, failure

SHOTS = processes.TARGET / "interop"
DRIVER = shutil.which("chromedriver") or "/usr/bin/chromedriver"

DESKTOP, PHONE = (1000, 900), (360, 740)


@contextlib.contextmanager
def browser(size=DESKTOP, dark=False, scripts=True):
    options = webdriver.ChromeOptions()
    # Without a sandbox of its own, as root in a container needs it; it sees nothing but the gateway.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    chromium = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        width, height = size
        view = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield chromium
    finally:
        chromium.quit()


def until(chromium, condition):
    return WebDriverWait(chromium, processes.PATIENCE, poll_frequency=0.1).until(lambda _: condition())


def text(chromium, part):
    return chromium.find_element(By.ID, part).text


def since_start(chromium, part, name):
    """Returns the last number of a table's row."""
    # In one look: rows are replaced while they are read.
    for row in text(chromium, part).splitlines():
        if row.startswith(name + " "):
            return row.split()[-1]
    return None


def requested(chromium):
    """Returns the URLs of all requests of the page."""
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {each["request"]["url"] for each in sent}


def shoot(chromium, name):
    chromium.save_screenshot(str(SHOTS / f"status-{name}.png"))


@pytest.fixture(scope="module")
def busy():
    """A gateway with traffic of every kind."""
    import deployment

    running = deployment.start(
        simulator=["--latency", "130ms", "--jitter", "60ms", "--fault", "429@6", "--fault", "503@9"],
        settings=["limits.daily_tokens=2000"],
    )
    for number in range(30):
        embed(running.channel, *[f"text {number % 12}, {part}" for part in range(number % 5 + 1)])
    failure(embed, running.channel, "")
    yield running
    running.close()


def test_it_moves_without_a_reload(busy):
    with browser() as chromium:
        chromium.get(f"http://{busy.admin}/")
        assert chromium.title.startswith("Serving")
        assert text(chromium, "live") == "Live"
        chromium.execute_script("window.sameDocument = true")
        before = int(since_start(chromium, "rpcs", "OK"))
        assert before >= 30
        for _ in range(3):
            embed(busy.channel, "text 0, 0")
        until(chromium, lambda: since_start(chromium, "rpcs", "OK") == str(before + 3))
        assert chromium.execute_script("return window.sameDocument")
        # All requests went to the gateway, without errors.
        urls = requested(chromium)
        assert f"http://{busy.admin}/status?as=html" in urls
        assert all(url.startswith((f"http://{busy.admin}/", "data:")) for url in urls), urls
        assert chromium.get_log("browser") == []


def test_the_plots_show_the_first_requests_and_move(deploy):
    own = deploy(simulator=["--latency", "20ms"])
    with browser() as chromium:
        chromium.get(f"http://{own.admin}/")
        titles = [title.text for title in chromium.find_elements(By.CSS_SELECTOR, "#history figcaption p")]
        assert titles == ["Requests", "Cache hit ratio", "Latency", "Upstream budget used"]
        # In one look: plots are replaced while they are read.
        summaries = "return [...document.querySelectorAll('#history svg title')].map(title => title.textContent)"
        assert chromium.execute_script(summaries)[1] == "Cache hit ratio in the last 15 minutes: no data yet"
        image = chromium.find_element(By.CSS_SELECTOR, "#history svg")
        assert image.accessible_name.startswith("Requests in the last 15 minutes; newest ")
        for _ in range(2):
            embed(own.channel, "text")
        # One hit of two look-ups. A point of the plot may lie between them.
        shown = "Cache hit ratio in the last 15 minutes; newest 50.0 %"
        until(chromium, lambda: chromium.execute_script(summaries)[1].startswith(shown))
        dot = "return document.querySelectorAll('#history svg')[1].querySelector('.dot').getAttribute('d')"
        assert chromium.execute_script(dot) == "M900 50.0h0"
        assert chromium.get_log("browser") == []


def test_a_hidden_page_sends_no_requests(busy):
    with browser() as chromium:
        hide = """Object.defineProperty(document, "hidden", {get: () => window.away ?? true})"""
        chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": hide})
        chromium.get(f"http://{busy.admin}/")
        asked = f"http://{busy.admin}/status?as=html"
        # A timer of the page, longer than its interval, ends after the time of its next request.
        waited = "const done = arguments[0]; setTimeout(() => done(true), 2500)"
        assert chromium.execute_async_script(waited)
        assert asked not in requested(chromium)
        chromium.execute_script("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        until(chromium, lambda: asked in requested(chromium))


def test_it_reads_without_scripts(busy):
    with browser(scripts=False) as chromium:
        chromium.get(f"http://{busy.admin}/")
        assert text(chromium, "live") == "Reload to update"
        assert int(since_start(chromium, "rpcs", "OK")) >= 30
        assert since_start(chromium, "rpcs", "Caller error") == "1"
        assert "UPSTREAM_RATE_LIMITED" in text(chromium, "errors")
        assert not chromium.find_element(By.ID, "lost").is_displayed()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_the_screen_and_the_eye(busy, size, dark, request):
    with browser(size, dark) as chromium:
        chromium.get(f"http://{busy.admin}/")
        width = chromium.execute_script("return document.documentElement.scrollWidth")
        assert width <= size[0]
        colours = contrasts(chromium)
        assert (colours["background"] < 0.1) == dark
        assert min(colours["texts"].values()) >= 4.5, colours
        kind = request.node.callspec.id
        shoot(chromium, f"busy-{kind}")
        address = os.environ.get("UPDATE_SCREENSHOT")
        if address and size == DESKTOP and not dark:
            chromium.get(f"http://{address}/")
            chromium.save_screenshot(str(processes.ROOT / "docs" / "status-page.png"))


def contrasts(chromium):
    """Returns the background's luminance, and the contrast of every text's colour with it (WCAG 2.2)."""
    found = chromium.execute_script(
        """const texts = [...document.querySelectorAll("body *")].filter(e => [...e.childNodes].some(
             n => n.nodeType === 3 && n.data.trim() && !["STYLE", "SCRIPT"].includes(e.tagName)));
           return [getComputedStyle(document.body).backgroundColor, texts.map(e => getComputedStyle(e).color)];"""
    )

    def luminance(colour):
        channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    background, colours = luminance(found[0]), set(found[1])
    assert len(colours) >= 3
    ratio = {}
    for colour in colours:
        light, dark = sorted([luminance(colour), background], reverse=True)
        ratio[colour] = (light + 0.05) / (dark + 0.05)
    return {"background": background, "texts": ratio}


def test_it_has_landmarks_and_headers(busy):
    with browser(scripts=False) as chromium:
        chromium.get(f"http://{busy.admin}/")
        for landmark in ("header", "main", "footer", "h1"):
            assert len(chromium.find_elements(By.TAG_NAME, landmark)) == 1, landmark
        assert chromium.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
        headings = chromium.find_elements(By.CSS_SELECTOR, "thead th")
        assert headings and all(each.get_attribute("scope") == "col" and each.text for each in headings)
        rows = chromium.find_elements(By.CSS_SELECTOR, "tbody tr:not(.details):not(.bar)")
        assert rows and all(row.find_elements(By.CSS_SELECTOR, "th[scope=row]") for row in rows)
        sections = chromium.find_elements(By.TAG_NAME, "section")
        assert all(each.accessible_name for each in sections)
        assert len(chromium.find_elements(By.CSS_SELECTOR, "[aria-live]")) == 1


def test_callers_names_are_text(deploy):
    own = deploy(simulator=["--latency", "150ms"])
    hostile = "<img/src=x/onerror=document.title='got'>"
    embed(own.channel, "text", metadata=[("x-request-id", hostile)])
    with browser() as chromium:
        chromium.get(f"http://{own.admin}/")
        assert hostile in text(chromium, "slow")
        assert chromium.find_elements(By.TAG_NAME, "img") == []
        assert chromium.get_log("browser") == []


def test_an_idle_gateway_is_healthy(deploy):
    own = deploy()
    for size, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
        with browser(size) as chromium:
            chromium.get(f"http://{own.admin}/")
            assert text(chromium, "verdict") == "Serving"
            assert text(chromium, "parties").count("✓ Healthy") == 3
            assert "None since the start." in text(chromium, "errors")
            shoot(chromium, f"idle-{name}")


def test_it_names_the_side_that_caused_a_failure(deploy):
    own = deploy(simulator=["--fault", "503"])
    for number in range(12):
        failure(embed, own.channel, f"text {number}")
    with browser(scripts=False) as chromium:
        chromium.get(f"http://{own.admin}/")
        gateway, voyage, callers = chromium.find_elements(By.CSS_SELECTOR, "#parties li")
        assert "Healthy" in gateway.text and "Healthy" in callers.text
        assert "calls failed in the last minute" in voyage.text
        shoot(chromium, "failing-desktop")


def test_a_rejected_key_comes_first(deploy):
    own = deploy(simulator=["--fault", "401"])
    failure(embed, own.channel, "text")
    with browser(PHONE, dark=True, scripts=False) as chromium:
        chromium.get(f"http://{own.admin}/")
        assert text(chromium, "verdict") == "Serving cached inputs only"
        [gateway, voyage, _] = chromium.find_elements(By.CSS_SELECTOR, "#parties li")
        assert "✕ Failing" in gateway.text and "rejects the key default" in gateway.text
        shoot(chromium, "rejected-phone")


def test_it_reports_an_unreachable_gateway(deploy):
    own = deploy()
    with browser() as chromium:
        chromium.get(f"http://{own.admin}/")
        own.server.kill()
        until(chromium, lambda: chromium.find_element(By.ID, "lost").is_displayed())
        assert text(chromium, "lost").startswith("No response from the gateway. The values below are from ")
        assert text(chromium, "live") == "Not live"
        assert chromium.title.startswith("No response")
        shoot(chromium, "gone-desktop")
