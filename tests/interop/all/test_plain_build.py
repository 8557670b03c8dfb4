"""The build of README's first command, without the tests' features."""

import os
import re
import subprocess

import processes

# A folder of its own: `target/debug` has the tests' binary.
TARGET = processes.TARGET / "plain"
README = (processes.ROOT / "README.md").read_text()


def cargo(*arguments):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    return subprocess.run(
        ["cargo", *arguments], cwd=processes.ROOT, env=environment, capture_output=True, text=True, timeout=1800
    )


def test_the_first_command_of_readme_shows_the_search():
    command = re.search(r"```sh\ncargo (run -- demo)\n```", README)[1]
    done = cargo(*command.split(), "--once")
    assert done.returncode == 0, done.stderr
    shown = re.search(r"```text\n(.*?)  …\n", README, re.DOTALL)[1]
    assert shown in done.stdout
    assert "all from the cache" in done.stdout


def test_a_tokenizer_needs_the_cargo_feature():
    done = cargo("run", "--", "check-config", "--set", 'tokens.models."voyage-4".tokenizer=tokenizer.json')
    assert done.returncode == 2, done.stderr
    assert "tokens.models.voyage-4.tokenizer" in done.stderr
    assert "needs a binary that is built with `--features tokenizers`" in done.stderr
