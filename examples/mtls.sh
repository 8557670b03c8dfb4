#!/usr/bin/env bash
# Callers with certificates and quotas, and secrets that rotate under load: all on this machine, no key and no network.
#
#   cargo build --release && examples/mtls.sh
#
# Needs openssl and grpcurl; GATEWAY and GRPCURL name other binaries than target/release/voyage-gateway and grpcurl.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
gateway=${GATEWAY:-$root/target/release/voyage-gateway}
grpcurl=${GRPCURL:-grpcurl}
method=voyage.gateway.v1.EmbeddingService/Embed

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

say() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    tail -n 5 serve.log >&2 || true
    exit 1
}

# --- A certificate authority, the server's certificate, and one for each caller. ---

certificate() { # NAME EXTENSIONS
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
        -extfile <(printf '%s\n' "$2") -out "$1.pem" 2>/dev/null
}

authority() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -keyout "$1.key" -out "$1.pem" -subj "/CN=$1" 2>/dev/null
}

say "A certificate authority; certificates for the server, the callers search and batch, and a stranger's own"
authority ca
certificate server "subjectAltName=DNS:localhost,IP:127.0.0.1"
certificate search "subjectAltName=URI:spiffe://example.internal/ns/shop/sa/search"
certificate batch "subjectAltName=URI:spiffe://example.internal/ns/shop/sa/batch"
authority stranger

# --- A simulated Voyage that takes the old key and the new one, and the gateway. ---

cat >config.toml <<CONFIG
[auth]
mode = "mtls"

[tls]
cert = "$work/server.pem"
key = "$work/server.key"
client_ca = "$work/ca.pem"

[reload]
interval = "200ms"

# Callers without a table of their own may call nothing. Defaults of the tables below.
[callers.default]
rpcs = []

[callers."spiffe://example.internal/ns/shop/sa/search"]
rpcs = ["Embed"]
weight = 4

[callers."spiffe://example.internal/ns/shop/sa/batch"]
rpcs = ["Embed"]
tokens_per_minute = 40
max_priority = "batch"
CONFIG
printf 'an-old-key\n' >voyage.key

address() { # LOG PORT
    for _ in $(seq 600); do
        sed -n "s/.*\"listening\".*\"port\":\"$2\",\"address\":\"\([^\"]*\)\".*/\1/p" "$1" | grep . && return
        sleep 0.1
    done
    fail "nothing listens: $1"
}

"$gateway" simulate --listen 127.0.0.1:0 --api-key an-old-key --api-key a-new-key --log-requests 2>simulate.log &
voyage=$(address simulate.log simulator)
VOYAGE_API_KEY_FILE=$work/voyage.key "$gateway" serve --config config.toml \
    --set server.listen=127.0.0.1:0 --set admin.listen=127.0.0.1:0 \
    --set "upstream.base_url=http://$voyage/v1" --set telemetry.log_format=json 2>serve.log &
server=$(address serve.log grpc)
admin=$(address serve.log admin)

embed() { # CALLER TEXT
    "$grpcurl" -cacert ca.pem -cert "$1.pem" -key "$1.key" -d "{\"input\":[\"$2\"],\"outputDimension\":256}" \
        "$server" "$method"
}
metric() { # SERIES
    curl -sS --noproxy '*' "http://$admin/metrics" | sed -n "s/^$1 //p"
}
expect() { # WORD COMMAND...
    local word=$1 answer
    shift
    answer=$("$@" 2>&1 || true)
    grep -m 3 -E 'cacheStatus|totalTokens|Code:|Message:|Failed' <<<"$answer" | sed 's/^/   /' || true
    grep -q "$word" <<<"$answer" || fail "expected $word, got: $answer"
}

say "search is allowed"
expect CACHE_STATUS_MISS embed search "what the shop sells"

say "batch has 40 tokens a minute: a short text is allowed, a long one is over its quota, what is cached is free"
expect CACHE_STATUS_MISS embed batch "a short text"
expect CALLER_QUOTA_EXCEEDED embed batch "$(printf 'a very long text %.0s' $(seq 30))"
expect CACHE_STATUS_HIT embed batch "what the shop sells"

say "the server itself is a stranger to the rules: its certificate is good, and it may call nothing"
expect CALLER_NOT_ALLOWED embed server "hello"

say "no certificate, and a certificate of another authority: no connection"
expect Failed "$grpcurl" -cacert ca.pem -connect-timeout 3 -d '{"input":["hi"]}' "$server" "$method"
expect Failed embed stranger "hello"

# --- Rotation under load. ---

say "search calls without a pause, while the server's certificate and the API key are replaced"
load() {
    local calls=0 failed=0
    until [ -e stop ]; do
        if embed search "text number $calls" >/dev/null 2>>failures.log; then
            calls=$((calls + 1))
            echo "$calls" >calls
        else
            failed=$((failed + 1))
        fi
    done
    echo "$calls calls, $failed failed" >result
}
progress() { # CALLS
    local before now
    before=$(cat calls 2>/dev/null || echo 0)
    for _ in $(seq 1200); do
        now=$(cat calls 2>/dev/null || echo 0)
        [ "${now:-0}" -ge $((before + $1)) ] && return
        sleep 0.1
    done
    fail "the load stands still"
}
serial() { openssl s_client -connect "$server" -CAfile ca.pem -cert search.pem -key search.key </dev/null 2>/dev/null \
    | openssl x509 -noout -serial; }

load &
progress 5
before=$(serial)
# Key and certificate are replaced one after the other: between the two they do not fit, and the old pair stays.
mkdir new && (cd new && cp ../ca.pem ../ca.key . && certificate server "subjectAltName=DNS:localhost,IP:127.0.0.1")
mv new/server.key server.key
progress 5
mv new/server.pem server.pem
printf 'a-new-key\n' >voyage.key.new && mv voyage.key.new voyage.key
for _ in $(seq 600); do
    [ "$(serial)" != "$before" ] && break
    sleep 0.1
done
progress 10
touch stop
wait %3
printf '   %s\n   certificate before: %s, after: %s\n' "$(cat result)" "$before" "$(serial)"
[ "$(serial)" != "$before" ] || fail "the old certificate is still served"
grep -q ' 0 failed' result || fail "$(head -n 3 failures.log)"

say "what the metrics say of it"
curl -sS --noproxy '*' "http://$admin/metrics" | grep -E '^voyage_gateway_(reloads|tokens)_total' | sed 's/^/   /'
say "done"
