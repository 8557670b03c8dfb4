#!/usr/bin/env bash
# Installs tools under target/tools, one set per argument.
#
# For `make test`:      python (pytest, grpcio, grpcurl)
# For `make test-all`:  checks (cargo-deny, hadolint, openssl, curl), browser (Chromium), buf, clients (the programs in Go
#                       and Node), prometheus (with promtool), collector (OpenTelemetry's), compose (Jaeger 2 and
#                       Prometheus 3), kube (kustomize, helm, kube-score, checkov)
# For `make image`:     image (what builds the image without a daemon), cross (the same for another architecture)
#
# A tool that cannot be installed ends the script with one line that names the tool and the reason.
set -euo pipefail
cd "$(dirname "$0")/../.."

all=tests/interop/all
tools=target/tools
log=$PWD/$tools/setup.log
buf_version=1.75.0
go=1.26
# The newest versions that this Go builds.
kube_modules=(
    sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
    helm.sh/helm/v4/cmd/helm@v4.3.1
    github.com/zegl/kube-score/cmd/kube-score@v1.20.0
)
# Some module proxies refuse these two. polaris has no module versions; the commit is that of 10.2.2.
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

# Prints the line of the log that explains a failure best.
reason() {
    grep -m 1 -i error "$log" || tail -n 1 "$log"
}

# Checks that a command works. Where it does not, on Debian as root, installs packages and checks again.
need() {
    local why=$1 packages=$2
    shift 2
    if "$@" >"$log" 2>&1; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian's $packages"
        # shellcheck disable=SC2086 # one word per package
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
            >"$log" 2>&1 || fail "$why, and apt-get cannot install $packages: $(reason)"
    fi
    "$@" >"$log" 2>&1 || fail "$why: install $packages ($(reason))"
}

# Runs a command, and prints nothing unless it fails.
quietly() {
    local what=$1
    shift
    "$@" >"$log" 2>&1 || fail "cannot install $what: $(reason) (log: $log)"
}

pip_install() {
    local into=$1
    shift
    "$tools/$into/bin/pip" install --disable-pip-version-check "$@"
}

python() {
    need "Python 3.11 or later is missing" "python3 python3-venv" \
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
    rm -rf "$tools/venv"
    need "Python cannot create a virtual environment" python3-venv python3 -m venv "$tools/venv"
    quietly "tests/interop/requirements.txt" pip_install venv -r tests/interop/requirements.txt
}

# In the environment of `python`, whose versions stay.
checks() {
    quietly "tests/interop/requirements-all.txt" \
        pip_install venv -c tests/interop/requirements.txt -r tests/interop/requirements-all.txt
    need "openssl or curl is missing" "openssl curl" sh -c "openssl version && curl --version"
}

browser() {
    need "Chromium or its driver is missing" "chromium chromium-driver" \
        sh -c "chromium --version && chromedriver --version"
}

need_npm() {
    need "npm is missing" "nodejs npm" npm --version
}

buf() {
    need_npm
    quietly "buf" npm install --no-save --no-audit --no-fund --prefix "$tools" "@bufbuild/buf@$buf_version"
    quietly "buf" "$tools/node_modules/.bin/buf" --version
}

# The same flags for every build, so that Go compiles what programs share once. No debug information; two compilers at a
# time, since the linker of a large program takes a gigabyte.
need_go() {
    need "Go $go or later is missing" golang-go \
        sh -c "go version && printf '%s\n' go$go \"\$(go env GOVERSION)\" | sort -V -C"
    export GOFLAGS="-p=2 -buildvcs=false -trimpath -gcflags=all=-dwarf=false '-ldflags=-s -w'"
}

# Builds a program of a module of this repository.
build() {
    local what=$1 folder=$2 program=$3
    quietly "$what" go build -C "$folder" -mod=readonly -o "$PWD/$tools/$program" .
}

# The Go example is built in its folder, with its own stubs; Node finds its libraries beside the example.
clients() {
    need_go
    (cd examples/go && quietly "the Go stubs" "$OLDPWD/$tools/node_modules/.bin/buf" generate ../../proto)
    build "the Go example" examples/go go/embed
    build "the Go caller" $all/load go/load
    build "the loader of compose files" $all/compose_loader go/compose
    need_npm
    quietly "the Node example's libraries" \
        npm install --no-audit --no-fund --no-package-lock --prefix examples/node
}

# Rust itself links the static binary; its C parts need musl's headers.
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

# Zig compiles and links for the other architecture, in an environment of its own; QEMU runs the result.
cross() {
    local other=aarch64
    [ "$(uname -m)" = aarch64 ] && other=x86_64
    need "QEMU is missing" qemu-user-static "qemu-$other-static" --version
    quietly "Rust for $other" rustup target add "$other-unknown-linux-musl"
    rm -rf "$tools/cross"
    quietly "Zig" python3 -m venv "$tools/cross"
    quietly "Zig" pip_install cross "cargo-zigbuild==$zigbuild_version" "ziglang==$zig_version"
}

# Debian's package is unpacked, not installed: installing it would start a service. Elsewhere both commands must be on the
# PATH.
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

# No registry has the Collector, Jaeger, Prometheus 3, kustomize, helm or kube-score as binaries; they are built with Go.
collector() {
    need_go
    build "the OpenTelemetry Collector" $all/collector collector/collector
    quietly "the OpenTelemetry Collector" "$tools/collector/collector" --version
}

# Builds a program in its module's folder, where the module's own go.sum and replacements apply.
build_in_place() {
    local module=$1 program=$2 folder
    shift 2
    quietly "$module" go mod download "$module"
    folder=$(go env GOMODCACHE)/$module
    GOWORK=off quietly "$module" go build -C "$folder" -mod=readonly "$@" -o "$PWD/$tools/compose/$program" "./cmd/$program"
}

# Without web pages, and Prometheus without service discovery in clouds.
compose() {
    need_go
    build_in_place "$prometheus_module" prometheus -tags=remove_all_sd
    quietly "Prometheus 3" "$tools/compose/prometheus" --version
    build_in_place "$jaeger_module" jaeger
    quietly "Jaeger" "$tools/compose/jaeger" version
}

# Renders deploy/ and checks the result.
kube() {
    need_go
    local module linter
    for module in "${kube_modules[@]}"; do
        GOBIN=$PWD/$tools/kube quietly "$module" go install "$module"
    done
    build "the operators' types" $all/crds kube/crds
    # In an environment of its own: its requirements conflict with those of the clients.
    quietly "checkov" python3 -m venv "$tools/checkov"
    quietly "checkov" pip_install checkov "checkov==$checkov_version"
    for module in "${kube_modules_where_allowed[@]}"; do
        linter=$(basename "${module%@*}")
        GOBIN=$PWD/$tools/kube go install "$module" >"$log" 2>&1 || command -v "$linter" >/dev/null ||
            echo "setup: $linter cannot be installed, so its checks are left out ($(reason))"
    done
}

case "${1:-}" in
    python | checks | browser | buf | clients | prometheus | collector | compose | kube | image | cross) "$1" ;;
    *) fail "unknown set of tools: ${1:-none}. The comment at the top of setup.sh lists them" ;;
esac
touch "$tools/$1.stamp"
