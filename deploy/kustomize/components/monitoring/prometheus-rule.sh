#!/usr/bin/env bash
# Makes prometheus-rule.yaml: the rules of deploy/prometheus/rules.yaml, line by line, as an object of the Prometheus
# operator. A test holds that they are the same.
set -euo pipefail
cd "$(dirname "$0")"
{
    cat <<'HEAD'
# Made by prometheus-rule.sh of deploy/prometheus/rules.yaml; change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: voyage-gateway
  labels:
    app.kubernetes.io/name: voyage-gateway
    app.kubernetes.io/instance: voyage-gateway
    app.kubernetes.io/component: gateway
    app.kubernetes.io/version: "0.1.0"
    app.kubernetes.io/part-of: voyage-gateway
    app.kubernetes.io/managed-by: kustomize
spec:
HEAD
    sed 's/^\(.\)/  \1/' ../../../prometheus/rules.yaml
} >prometheus-rule.yaml
