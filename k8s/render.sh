#!/usr/bin/env bash
# Prints k8s/technical-analysis-deployment.yaml: the base, for whoever wants one file.
#   k8s/render.sh >k8s/technical-analysis-deployment.yaml
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cat <<'TEXT'
# Made from k8s/base by k8s/render.sh; change it there.
#   kubectl apply -f k8s/technical-analysis-deployment.yaml
# expects NATS at nats:4222 in the same namespace (NATS_URL in the ConfigMap).
TEXT
if command -v kustomize >/dev/null; then
    exec kustomize build "$here/base"
fi
exec kubectl kustomize "$here/base"
