#!/usr/bin/env bash
# The Kubernetes manifests: the base, every overlay and every component rendered; each object
# strictly against the schemas of the last three Kubernetes versions; and what no schema knows
# (deploy/test/k8s_check.py). No cluster is needed.
#
# KUBERNETES_VERSIONS="1.36 1.37" chooses the versions.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

venv=$ROOT/target/deploy-test/kubernetes
validate=$venv/bin/kubernetes-validate
if [[ ! -x $validate ]]; then
    command -v python3 >/dev/null || skip "no python3 to validate with"
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'kubernetes-validate>=1.37' yamllint; } \
        >/dev/null 2>&1 || {
        rm -rf "$venv"
        skip "kubernetes-validate cannot be installed from PyPI"
    }
fi
newest='import pathlib, kubernetes_validate
schemas = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
names = [d.name[1:].split(".")[:2] for d in schemas.glob("v*-local-strict")]
print(*(".".join(name) for name in sorted(names, key=lambda n: [int(i) for i in n])[-3:]))'
read -ra versions <<<"${KUBERNETES_VERSIONS:-$("$venv/bin/python" -c "$newest")}"

out=$(mktemp -d)
at_exit "rm -rf '$out'"
cp "$ROOT/k8s/technical-analysis-deployment.yaml" "$out/file.yaml"
if command -v kustomize >/dev/null; then
    render() { kustomize build "$1"; }
elif command -v kubectl >/dev/null; then
    render() { kubectl kustomize "$1"; }
else
    say "neither kustomize nor kubectl: overlays and components are NOT tested"
    render() { return 1; }
fi
if render "$ROOT/k8s/base" >"$out/base.yaml" 2>"$out/error"; then
    for overlay in "$ROOT"/k8s/overlays/*/; do
        name=$(basename "$overlay")
        render "$overlay" >"$out/$name.yaml" || fail "overlay $name cannot be rendered"
    done
    # a component is only seen in something that uses it: added to an overlay, as its users do
    for component in "$ROOT"/k8s/components/*/; do
        name=$(basename "$component")
        rm -rf "$out/k8s"
        cp -r "$ROOT/k8s" "$out/k8s"
        printf 'components: [../../components/%s]\n' "$name" >>"$out/k8s/overlays/production/kustomization.yaml"
        render "$out/k8s/overlays/production" >"$out/with-$name.yaml" || fail "component $name cannot be rendered"
    done
    rm -r "$out/k8s"
else
    command -v kustomize >/dev/null || command -v kubectl >/dev/null &&
        fail "the base cannot be rendered: $(<"$out/error")"
    rm "$out/base.yaml"
fi

"$venv/bin/yamllint" -s -d '{extends: relaxed, rules: {line-length: disable}}' "$ROOT/k8s" ||
    fail "yamllint complains"
for version in "${versions[@]}"; do
    for file in "$out"/*.yaml; do
        # kinds of other projects have no schema there; k8s_check.py knows what matters of them
        problems=$("$validate" -k "$version" --strict --quiet "$file" 2>&1 |
            grep -vE 'ServiceMonitor|ScaledObject' || true)
        [[ -z $problems ]] || fail "$(basename "$file" .yaml), Kubernetes $version: $problems"
    done
done
say "valid, strictly, for Kubernetes ${versions[*]}: $(cd "$out" && echo *.yaml)"
"$venv/bin/python" "$ROOT/deploy/test/k8s_check.py" "$out" "$ROOT/k8s/base" || fail "the manifests do not fit together"
# and that it sees two that set the number of replicas
mkdir "$out/two-owners"
cp "$out/file.yaml" "$out/two-owners"
cat "$out/file.yaml" <(echo ---) "$ROOT/k8s/components/hpa/hpa.yaml" >"$out/two-owners/spoiled.yaml"
problems=$("$venv/bin/python" "$ROOT/deploy/test/k8s_check.py" "$out/two-owners" "$ROOT/k8s/base" 2>&1) &&
    fail "a Deployment with replicas and an autoscaler passes"
[[ $problems == "spoiled/HorizontalPodAutoscaler/"*" replicas, which an apply "* ]] || fail "two owners: $problems"
say "the number of replicas has one owner in each"
say "passed"
