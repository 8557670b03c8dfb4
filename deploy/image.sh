#!/bin/sh
# `image.sh files TARGET DIR`: compiles for TARGET and puts the image's files into DIR. The Dockerfile runs this.
# `image.sh build ARCH [TAG]`: compiles, and builds the image for amd64 or arm64 with buildah, without a daemon or a
# registry. The result is an OCI archive, target/image/ARCH/voyage-gateway.tar.
# Busybox is enough, for Alpine.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "image: $1" >&2
    exit 1
}

# The CA certificates of common distributions, or the file that IMAGE_ROOTS names. SSL_CERT_FILE is not read: it is for
# the build machine.
roots() {
    for file in "${IMAGE_ROOTS:-}" /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem /etc/pki/tls/certs/ca-bundle.crt; do
        if [ -s "$file" ]; then
            echo "$file"
            return
        fi
    done
    fail "no CA certificates here: install ca-certificates, or name a file in IMAGE_ROOTS"
}

# `put MODE FILE COPY`
put() {
    mkdir -p "$(dirname "$3")"
    cp "$2" "$3"
    chmod "$1" "$3"
}

files() {
    target=$1 out=$2
    roots=$(roots)
    case $target in
        "$(uname -m)"-*) build=build ;;
        # Zig has a C compiler and a libc for other architectures.
        *) build=zigbuild ;;
    esac
    cargo auditable "$build" --locked --release --features tokenizers --target "$target" --bin voyage-gateway
    # Linked crates only, without build dependencies. The tool writes the file beside Cargo.toml.
    SOURCE_DATE_EPOCH=${IMAGE_TIME:-0} \
        cargo cyclonedx --quiet --features tokenizers --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename sbom.cdx
    # Removes the path of the build.
    sed "s|file://$PWD|file:///src|g" sbom.cdx.json >target/sbom.cdx.json
    rm sbom.cdx.json
    umask 022
    rm -rf "$out"
    put 0555 "target/$target/release/voyage-gateway" "$out/voyage-gateway"
    put 0444 "$roots" "$out/etc/ssl/certs/ca-certificates.crt"
    put 0444 target/sbom.cdx.json "$out/usr/share/voyage-gateway/sbom.cdx.json"
    put 0444 LICENSE "$out/usr/share/voyage-gateway/LICENSE"
}

build() {
    arch=$1
    case $arch in
        amd64) target=x86_64-unknown-linux-musl ;;
        arm64) target=aarch64-unknown-linux-musl ;;
        *) fail "expected amd64 or arm64" ;;
    esac
    tag=${2:-voyage-gateway:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
    archive=target/image/$arch/voyage-gateway.tar
    revision=$(git rev-parse HEAD)
    VOYAGE_GATEWAY_REVISION=$(git rev-parse --short=12 HEAD)
    # The image and its SBOM have the commit's time: the same files make the same digest.
    IMAGE_TIME=$(git log -1 --format=%ct)
    export VOYAGE_GATEWAY_REVISION IMAGE_TIME
    files "$target" "target/image/$arch/root"
    buildah build --quiet --isolation chroot --format oci --layers=false --timestamp "$IMAGE_TIME" --platform "linux/$arch" \
        --build-arg BUILT=prebuilt --build-arg REVISION="$revision" --build-arg VERSION="${tag##*:}" \
        --file deploy/Dockerfile --tag "$tag" . >/dev/null
    rm -f "$archive"
    buildah push --quiet "$tag" "oci-archive:$archive:$tag"
    echo "image: $tag for $arch, $(wc -c <"target/image/$arch/root/voyage-gateway") bytes of binary, $archive"
}

case "${1:-}" in
    files) files "$2" "$3" ;;
    build) build "${2:-}" "${3:-}" ;;
    *) fail "expected files or build" ;;
esac
