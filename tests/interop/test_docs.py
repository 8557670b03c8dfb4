"""Pages, alerts and the dashboard agree with each other and with the code. Needs no running gateway."""

import re
import sys

import yaml

import processes
from dashboard import DASHBOARD, DEPLOY, panels
from processes import ROOT

RULES = DEPLOY / "prometheus" / "rules.yaml"
ALERTS = ROOT / "docs" / "alerts.md"
METRICS = ROOT / "docs" / "metrics.md"

# Names of metrics, wherever they stand; a name that ends in `_` is a prefix of several.
NAME = re.compile(r"(?<![\w:])(?:voyage_gateway|rpc_server|gen_ai_client|process)_\w+(?<!_)(?!\w)")
# The suffixes of a histogram's series.
PART = re.compile(r"_(bucket|sum|count)$")

EXAMPLES = ROOT / "examples"
PROGRAMS = {
    "go": EXAMPLES / "go/main.go",
    "python": EXAMPLES / "python/embed.py",
    "js": EXAMPLES / "node/embed.mjs",
    "java": EXAMPLES / "java/src/main/java/example/Embed.java",
    "rust": EXAMPLES / "rust/src/main.rs",
}


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_every_alert_has_a_test():
    stories = "".join(file.read_text() for file in (DEPLOY / "prometheus" / "tests").glob("*.yaml"))
    for rule in alerts():
        assert f'alertname="{rule["alert"]}"' in stories, rule["alert"]


def test_every_alert_has_a_runbook():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", ALERTS.read_text(), re.MULTILINE | re.DOTALL))
    for rule in alerts():
        name, said = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert said["summary"] and said["description"], name
        assert said["runbook_url"] == f"docs/alerts.md#{name.lower()}"
        assert "**What to do.**" in sections.get(name, ""), f"docs/alerts.md does not say what to do about {name}"
        assert "```sh" in sections[name], f"docs/alerts.md has no command to confirm {name}"
    assert set(sections) == {rule["alert"] for rule in alerts()}


def test_the_dashboard_is_up_to_date():
    done = processes.run(sys.executable, DEPLOY / "grafana" / "dashboard.py", "-")
    assert done.stdout == DASHBOARD.read_text(), "run deploy/grafana/dashboard.py"


def test_every_panel_has_a_description_and_a_place_of_its_own():
    taken = set()
    for panel in panels():
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for row in range(place["y"], place["y"] + place["h"]):
            for column in range(place["x"], place["x"] + place["w"]):
                assert (row, column) not in taken, f"{panel['title']} lies over another panel"
                taken.add((row, column))
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert 'job=~"$job"' in target["expr"] and 'instance=~"$instance"' in target["expr"], target["expr"]


def test_every_named_metric_exists():
    # The page is generated from the catalogue of metrics.
    known = {PART.sub("", name) for name in NAME.findall(METRICS.read_text())}
    # The changelog names metrics that were removed.
    pages = [*(set(ROOT.glob("*.md")) - {ROOT / "CHANGELOG.md"}), *ROOT.glob("docs/*.md")]
    shipped = [RULES, DASHBOARD, *DEPLOY.glob("prometheus/tests/*.yaml"), *DEPLOY.glob("*/*.yaml")]
    for file in [*pages, *shipped]:
        named = {PART.sub("", name) for name in NAME.findall(file.read_text())}
        assert named <= known, f"{file.relative_to(ROOT)} names {sorted(named - known)}"


def test_the_code_of_the_clients_page_is_in_the_examples():
    page = (ROOT / "docs" / "clients.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == set(PROGRAMS)
    for language, block in blocks:
        assert block in PROGRAMS[language].read_text(), block


def test_every_link_of_a_page_has_a_target():
    def anchors(page):
        headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]

    pages = [page for folder in (".", "docs", "benches") for page in sorted((ROOT / folder).glob("*.md"))]
    links = [
        (page, path, anchor)
        for page in pages
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text())
    ]
    assert len(links) > 100
    for page, path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), (page, path)
        assert not anchor or anchor in anchors(target), (page, path, anchor)
