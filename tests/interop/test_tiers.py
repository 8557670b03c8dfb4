"""`make test` needs Rust and Python only."""

import re

from processes import ROOT, run

SETUP = (ROOT / "tests" / "interop" / "setup.sh").read_text()


def test_make_test_installs_only_python_packages():
    # The commands of a machine that has nothing yet.
    done = run("make", "--dry-run", "--always-make", "--directory", ROOT, "test")
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"setup\.sh (\w+)", done.stdout)) == {"python"}
    programs = {line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith("make: ")}
    assert programs - {"tests/interop/setup.sh"} == {"cargo", "target/tools/venv/bin/pytest", 'RUSTDOCFLAGS="-D'}, programs


def test_that_set_of_tools_uses_no_other_language():
    [function] = re.findall(r"^python\(\) \{\n(.*?)^\}", SETUP, re.MULTILINE | re.DOTALL)
    assert "requirements.txt" in function
    assert not re.search(r"need_go|need_npm|apt-get|requirements-all", function)
