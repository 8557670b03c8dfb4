"""The binary as a container runtime starts it: its own root, read-only; uid 65532; no capability, and no way to get one.

What a runtime adds beyond that (seccomp, cgroups, a network of its own) is not here. It takes root, as a runtime does.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import processes

UID = 65532
# An image's own files, as `make image` leaves them; otherwise a root is put together for the debug binary.
IMAGE = os.environ.get("IMAGE_ROOT")

CONFIG = "/etc/voyage-gateway"
SECRET = "/run/secrets/voyage"
TOKENS = "/run/secrets/callers"

# The mounts are the new namespace's own. A bind mount becomes read-only only when it is mounted once more.
_ENTER = """
set -eu
root=$1
shift
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
    shift 2
done
shift
mount -o remount,bind,ro "$root"
exec unshare --root "$root" --wd / --setgid 65532 --setuid 65532 /voyage-gateway "$@"
"""


class Volume:
    """A ConfigMap or Secret as the kubelet mounts it: files are links through `..data`, which changes all at once."""

    def __init__(self, path, **files):
        self.path = path
        self._version = 0
        path.mkdir()
        path.chmod(0o755)
        self.update(**files)
        for name in files:
            (path / self._name(name)).symlink_to(f"..data/{self._name(name)}")

    def update(self, **files):
        """Puts other contents in their place."""
        self._version += 1
        version = self.path / f"..2026_11_22_10_00_0{self._version}.1"
        version.mkdir(mode=0o755)
        for name, text in files.items():
            file = version / self._name(name)
            file.write_text(text)
            os.chown(file, 0, UID)
            file.chmod(0o440)
        temporary = self.path / "..data_tmp"
        temporary.symlink_to(version.name)
        temporary.rename(self.path / "..data")

    @staticmethod
    def _name(name):
        return {"config": "config.toml", "api_key": "api-key", "tokens": "tokens"}[name]


def root(directory):
    """Lays out a root file system: the image's, or the debug binary with what it is linked to, and nothing else."""
    if IMAGE:
        shutil.copytree(IMAGE, directory)
    else:
        directory.mkdir()
        shutil.copy(processes.BINARY, directory / "voyage-gateway")
        linked = subprocess.run(["ldd", processes.BINARY], capture_output=True, encoding="utf-8", check=True).stdout
        for library in re.findall(r"/\S+", linked):
            _copy(Path(library), directory)
        _copy(Path("/etc/ssl/certs/ca-certificates.crt"), directory)
    # A runtime makes the mount points.
    for mount in (CONFIG, SECRET, TOKENS):
        (directory / mount.lstrip("/")).mkdir(parents=True, exist_ok=True)
    return directory


def _copy(file, directory):
    copy = directory / str(file).lstrip("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)


def command(root, volumes):
    """The words that a subcommand of the binary is to follow; the volumes are by the path they are mounted at."""
    mounts = [word for path, volume in volumes.items() for word in (volume.path, path)]
    restrict = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--", "unshare", "--mount", "--propagation", "private"]
    return [*restrict, "--", "sh", "-c", _ENTER, "container", root, *mounts, "--"]
