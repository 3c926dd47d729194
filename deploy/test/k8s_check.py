"""What no schema knows about the rendered manifests: that they fit together and keep their promises.

Reads every *.yaml in the first directory given, and the base in the second. Prints what is wrong and exits 1, or says what holds.
"""

import pathlib
import re
import sys

import yaml

NAME = "technical-analysis-agent"
QUANTITY = re.compile(r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti|k|M|G|T)?$")
# What Kubernetes 1.20 knows, once autoscaling/v2 is written v2beta2 and policy/v1 v1beta1.
OLD_ENOUGH = {"v1", "apps/v1", "networking.k8s.io/v1", "autoscaling/v2", "policy/v1"}
FOREIGN = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1"}
TOO_NEW = {
    "matchLabelKeys", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "containerResource",
    "unhealthyPodEvictionPolicy", "grpc", "resizePolicy", "appArmorProfile", "hostUsers", "os",
    "sleep", "stopSignal", "endPort", "internalTrafficPolicy",
}
problems = []


def wrong(where, what):
    problems.append(f"{where}: {what}")


def keys(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def check_workload(where, workload, config_maps):
    spec = workload["spec"]
    template = spec["template"]
    pod = template["spec"]
    if not matches(spec["selector"]["matchLabels"], template["metadata"]["labels"]):
        wrong(where, "its selector does not match its own pods")
    if not pod["securityContext"]["runAsNonRoot"] or pod["securityContext"]["runAsUser"] == 0:
        wrong(where, "runs as root")
    if pod["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault":
        wrong(where, "seccomp is not RuntimeDefault")
    for container in pod["containers"]:
        security = container["securityContext"]
        if security["capabilities"]["drop"] != ["ALL"] or not security["readOnlyRootFilesystem"]:
            wrong(where, "keeps capabilities or a writable root")
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in ports:
                wrong(where, f"{probe} asks port {port}, which the container does not name")
        for amounts in container["resources"].values():
            for resource, amount in amounts.items():
                if not QUANTITY.match(str(amount)):
                    wrong(where, f"{resource}: {amount} is no quantity")
        for source in container.get("envFrom", []):
            name = source.get("configMapRef", {}).get("name")
            if name and name not in config_maps:
                wrong(where, f"takes its environment from ConfigMap {name}, which is not there")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        if mounts != {volume["name"] for volume in pod.get("volumes", [])}:
            wrong(where, "volumes and mounts differ")


def check_agent(where, agent, config_maps):
    """The numbers that the deployment promises."""
    spec = agent["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    expected = {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
    if container["resources"] != expected:
        wrong(where, f"resources are {container['resources']}")
    probes = {p: container[p]["httpGet"]["path"] for p in ("startupProbe", "livenessProbe", "readinessProbe")}
    if list(probes.values()) != ["/startupz", "/livez", "/readyz"]:
        wrong(where, f"probes are {probes}")
    if spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
        wrong(where, "an update takes a replica away before the new one is ready")
    if pod["securityContext"]["runAsUser"] != 65532:
        wrong(where, "does not run as 65532")
    names = [e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"] if e["name"] == "TECHNICAL_AGENT_NAME"]
    if names != ["metadata.name"]:
        wrong(where, "the agent's name is not the pod's")
    config = config_maps[container["envFrom"][0]["configMapRef"]["name"]]
    if float(config["SHUTDOWN_TIMEOUT"]) >= pod["terminationGracePeriodSeconds"]:
        wrong(where, "the kill comes before the drain is over")
    port = next(p["containerPort"] for p in container["ports"] if p["name"] == "http")
    if config["HTTP_ADDR"] != f"0.0.0.0:{port}":
        wrong(where, f"HTTP_ADDR {config['HTTP_ADDR']} is not where the probes ask")


def check_set(where, objects):
    by_name = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    config_maps = {n: o["data"] for (kind, n), o in by_name.items() if kind == "ConfigMap"}
    workloads = [o for o in objects if o["kind"] in ("Deployment", "StatefulSet")]
    labels = [w["spec"]["template"]["metadata"]["labels"] for w in workloads]
    for workload in workloads:
        check_workload(f"{where}/{workload['metadata']['name']}", workload, config_maps)
    if ("Deployment", NAME) not in by_name:
        wrong(where, f"no Deployment {NAME}")
        return
    check_agent(where, by_name["Deployment", NAME], config_maps)
    scalers = 0
    for o in objects:
        kind, spec = o["kind"], o.get("spec", {})
        here = f"{where}/{kind}/{o['metadata']['name']}"
        if o["apiVersion"] not in OLD_ENOUGH | FOREIGN:
            wrong(here, f"{o['apiVersion']} cannot be carried to an old cluster")
        if new := TOO_NEW & set(keys(o)):
            wrong(here, f"uses {', '.join(sorted(new))}, which an old cluster refuses")
        if kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            scalers += 1
            target = spec["scaleTargetRef"]
            scaled = by_name.get((target.get("kind", "Deployment"), target["name"]))
            if scaled is None:
                wrong(here, f"scales {target['name']}, which is not there")
            elif "replicas" in scaled["spec"]:
                wrong(here, f"scales {target['name']}, which names {scaled['spec']['replicas']} replicas, "
                            "which an apply sets it back to")
        if kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            selector = spec.get("podSelector", spec.get("selector"))
            if not any(matches(selector.get("matchLabels", selector), pod) for pod in labels):
                wrong(here, "selects no pod")
        if kind == "ServiceMonitor":
            services = [
                s for s in objects
                if s["kind"] == "Service" and matches(spec["selector"]["matchLabels"], s["metadata"]["labels"])
            ]
            ports = {port["name"] for service in services for port in service["spec"]["ports"]}
            if not {endpoint["port"] for endpoint in spec["endpoints"]} <= ports:
                wrong(here, "finds no port to scrape")
    if not scalers and not by_name["Deployment", NAME]["spec"].get("replicas"):
        # one, by Kubernetes' default: nobody would be there to take over
        wrong(where, "neither an autoscaler nor a number of replicas")
    if scalers > 1:
        wrong(where, f"{scalers} autoscalers for one Deployment")


def check_sources(base, objects):
    """The single file against the base it is made from, without kustomize."""
    where = "technical-analysis-deployment.yaml"
    recipe = yaml.safe_load((base / "kustomization.yaml").read_text())
    sources = [yaml.safe_load((base / name).read_text()) for name in recipe["resources"]]
    lines = (base / "agent.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    made = [o for o in objects if o["kind"] == "ConfigMap"]
    if [o["data"] for o in made] != [settings]:
        wrong(where, "its ConfigMap is not k8s/base/agent.env; run k8s/render.sh")
        return
    # what kustomize changes: the ConfigMap's name by its contents, and the image's tag
    text = yaml.safe_dump([o for o in objects if o["kind"] != "ConfigMap"])
    text = text.replace(made[0]["metadata"]["name"], recipe["configMapGenerator"][0]["name"])
    for image in recipe["images"]:
        text = text.replace(f"{image['name']}:{image['newTag']}", image["name"])
    by_name = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load(text)}
    if by_name != {(o["kind"], o["metadata"]["name"]): o for o in sources}:
        wrong(where, "is not what k8s/base says; run k8s/render.sh")


def main(directory, base):
    sets = {}
    for file in sorted(pathlib.Path(directory).glob("*.yaml")):
        sets[file.stem] = [o for o in yaml.safe_load_all(file.read_text()) if o]
        check_set(file.stem, sets[file.stem])
    check_sources(pathlib.Path(base), sets["file"])
    if "base" in sets and sets["base"] != sets["file"]:
        wrong("technical-analysis-deployment.yaml", "is not what k8s/render.sh prints; render it again")
    if problems:
        sys.exit("\n".join(problems))
    counts = ", ".join(f"{name} {len(objects)}" for name, objects in sets.items())
    print(f"k8s: selectors, probes, ports, limits, graces and targets fit (objects: {counts})")


main(*sys.argv[1:])
