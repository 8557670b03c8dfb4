"""The binary as a container runtime starts it: its own root, read-only; uid 65532; no capability, and no way to get one.

What a runtime adds beyond that (seccomp, cgroups, a network of its own) is not here. It takes root, as a runtime does.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import manifests
import processes

# The image of that architecture, as `make image` leaves it; otherwise a root is put together for the debug binary.
ARCH = os.environ.get("IMAGE_ARCH")
IMAGE = ARCH and processes.TARGET / "image" / ARCH

_MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(ARCH, platform.machine())
# The emulator for other architectures; static, so a root needs nothing else.
EMULATOR = [] if _MACHINE == platform.machine() else [shutil.which(f"qemu-{_MACHINE}-static")]

# `enter ROOT UID GROUP [FOLDER MOUNT]... -- COMMAND`. The mounts are the new namespace's own. A bind mount becomes
# read-only only when it is mounted once more.
_ENTER = """
set -eu
root=$1 user=$2 group=$3
shift 3
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
    shift 2
done
shift
mount -o remount,bind,ro "$root"
exec unshare --root "$root" --wd / --setgid "$group" --setuid "$user" "$@"
"""


class Volume:
    """A volume as the kubelet mounts it: files are links through `..data`, which changes all at once.

    Files have the mode that the volume says, and belong to root and to the pod's group (fsGroup), which may read them.
    """

    def __init__(self, path, group, modes, files):
        self.path = path
        self._group = group
        self._modes = modes
        self._version = 0
        path.mkdir(parents=True)
        self._give(path, 0o3777)
        self.update(files)
        for name in files:
            (path / name).symlink_to(f"..data/{name}")

    def update(self, files):
        """Puts other contents in their place."""
        self._version += 1
        version = self.path / f"..2026_11_22_10_00_0{self._version}.1"
        version.mkdir()
        self._give(version, 0o2755)
        for name, text in files.items():
            (version / name).write_text(text)
            self._give(version / name, self._modes.get(name, 0o644) | 0o440)
        temporary = self.path / "..data_tmp"
        temporary.symlink_to(version.name)
        temporary.rename(self.path / "..data")

    def file(self, name):
        """Returns where a file's content is, behind its links."""
        return (self.path / name).resolve(strict=True)

    def _give(self, path, mode):
        os.chown(path, 0, self._group)
        path.chmod(mode)


class Pod:
    """The gateway's pod of a rendering, with its volumes under a folder.

    `objects` are the contents of Secrets, ConfigMaps and tokens that are not in the rendering, by name.
    """

    def __init__(self, text, folder, objects):
        deployment = manifests.find(text, "Deployment")
        self._spec = deployment["spec"]["template"]["spec"]
        self._container = manifests.container(deployment)
        self._objects = objects | _rendered(text)
        self.arguments = self._container["args"]
        self.variables = manifests.environment(deployment)
        self.user = self._inherited("runAsUser")
        self.volumes = {
            mount["mountPath"]: self._volume(mount["name"], folder / mount["name"])
            for mount in self._container["volumeMounts"]
        }

    def _inherited(self, key):
        return (self._spec["securityContext"] | self._container["securityContext"])[key]

    def _volume(self, name, path):
        volume = next(each for each in self._spec["volumes"] if each["name"] == name)
        (kind,) = set(volume) - {"name"}
        source = volume[kind]
        every = source.get("defaultMode", 0o644)
        files, modes = {}, {}
        for part in source.get("sources", [{kind: source}]):
            for file, mode, content in self._files(part):
                files[file], modes[file] = content, mode or every
        return Volume(path, self._spec["securityContext"]["fsGroup"], modes, files)

    def _files(self, part):
        """Yields name, mode (if not the volume's) and content of the files of one source."""
        if token := part.get("serviceAccountToken"):
            # The kubelet's own mode for tokens of pods that have a group.
            yield token["path"], 0o600, self._objects["token"]
            return
        ((kind, source),) = part.items()
        content = self._objects[source["name"] if kind == "configMap" else source["secretName"]]
        items = source.get("items") or [{"key": key, "path": key} for key in content]
        for item in items:
            yield item["path"], item.get("mode"), content[item["key"]]

    def command(self, root):
        """The words that the container's arguments are to follow."""
        restrict = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--", "unshare", "--mount", "--propagation", "private"]
        mounts = [word for path, volume in self.volumes.items() for word in (volume.path, path)]
        ids = [self.user, self._inherited("runAsGroup")]
        program = [*(["/emulator"] if EMULATOR else []), "/voyage-gateway"]
        return [*restrict, "--", "sh", "-c", _ENTER, "container", root, *ids, *mounts, "--", *program]


def _rendered(text):
    """Returns the contents of the ConfigMaps and Secrets that were rendered, by name."""
    return {
        each["metadata"]["name"]: each.get("data", {}) | each.get("stringData", {})
        for each in manifests.objects(text)
        if each["kind"] in ("ConfigMap", "Secret")
    }


def root(directory, mounts):
    """Creates a root file system: the image's, or the debug binary with its shared libraries."""
    if IMAGE:
        shutil.copytree(IMAGE / "root", directory)
        for emulator in EMULATOR:
            shutil.copy(emulator, directory / "emulator")
    else:
        directory.mkdir()
        shutil.copy(processes.BINARY, directory / "voyage-gateway")
        linked = subprocess.run(["ldd", processes.BINARY], capture_output=True, encoding="utf-8", check=True).stdout
        for library in re.findall(r"/\S+", linked):
            _copy(Path(library), directory)
        _copy(Path("/etc/ssl/certs/ca-certificates.crt"), directory)
    # A runtime makes the mount points.
    for mount in mounts:
        (directory / mount.lstrip("/")).mkdir(parents=True, exist_ok=True)
    return directory


def _copy(file, directory):
    copy = directory / str(file).lstrip("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)
