#!/bin/sh
# Prints what the chart installs with its defaults, for those who have no helm: deploy/controller.yaml is made from it.
set -eu
cd "$(dirname "$0")/.."
helm=${HELM:-$(./tests/tools/build.sh /var/cache/crik-tests)/helm}
cat <<'END'
# The controller for one cluster: which nodes are going away, over HTTP on port 9376.
# Made from charts/crik by "make manifests"; change it there.
apiVersion: v1
kind: Namespace
metadata:
  name: crik
  labels:
    pod-security.kubernetes.io/enforce: restricted
END
# The oldest release that the chart is for: a newer one does not need more.
"$helm" template crik charts/crik --namespace crik --kube-version 1.27.0 --no-hooks |
    sed '/^# Source: /d; /app.kubernetes.io\/managed-by: /d; /helm.sh\/chart: /d'
