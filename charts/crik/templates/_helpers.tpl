{{/* The name of everything that belongs to the release. A Service's has 63 characters at most, a release's 53. */}}
{{- define "crik.name" -}}
{{- $name := printf "%s-%s" .Release.Name (.Values.nameOverride | default "controller") -}}
{{ .Values.fullnameOverride | default $name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The same for what belongs to no namespace. */}}
{{- define "crik.clusterName" -}}
{{ .Release.Namespace }}-{{ .Values.fullnameOverride | default (printf "%s-%s" .Release.Name (.Values.nameOverride | default "controller")) }}
{{- end }}

{{- define "crik.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "crik.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "crik.selector" -}}
app.kubernetes.io/name: crik-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The pod of helm test. */}}
{{- define "crik.testSelector" -}}
app.kubernetes.io/name: crik-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "crik.labels" -}}
{{ include "crik.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "crik.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The chart's own and those of all charts, which some write as bare names. */}}
{{- define "crik.imagePullSecrets" -}}
{{- $all := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) .Values.imagePullSecrets -}}
{{- $all = append $all (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $all -}}
{{ toYaml . }}
{{- end -}}
{{- end }}

{{- define "crik.scheme" -}}
{{ if .Values.tls.secretName }}https{{ else }}http{{ end }}
{{- end }}

{{/* The address of the Service that is there already, if it has one: it cannot be changed. */}}
{{- define "crik.clusterIP" -}}
{{- $service := lookup "v1" "Service" .Release.Namespace (include "crik.name" .) -}}
{{ dig "spec" "clusterIP" "None" ($service | default dict) | default "None" }}
{{- end }}

{{/* Where agents ask. */}}
{{- define "crik.url" -}}
{{ include "crik.scheme" . }}://{{ include "crik.name" . }}.{{ .Release.Namespace }}:9376
{{- end }}

{{/* The webhook's Service, its certificate and that one's Secret. */}}
{{- define "crik.webhook" -}}
{{ include "crik.name" . | trunc 55 | trimSuffix "-" }}-webhook
{{- end }}

{{/* What pods are given that are put under crik. */}}
{{- define "crik.inject" -}}
{{- $defaults := merge (dict) .Values.inject.defaults (dict "nodeStateServerURL" (include "crik.url" .)) -}}
agentImage: {{ required "inject.agentImage must name the image that deploy/Dockerfile.agent builds, where the nodes of labelled pods find it" .Values.inject.agentImage | quote }}
imagePullPolicy: {{ .Values.inject.imagePullPolicy }}
{{- with .Values.inject.agentPullSecrets }}
agentPullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or (not .Values.inject.lookUpImages) (and .Values.networkPolicy.enabled .Values.networkPolicy.apiServer (not .Values.networkPolicy.registries)) }}
lookUpImages: false
{{- end }}
{{- if .Values.inject.pullSecrets }}
pullSecrets: true
{{- end }}
{{- with .Values.inject.registries }}
registries: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq (toString .Values.inject.hostUsers) "false" }}
hostUsers: false
{{- end }}
{{- with .Values.inject.podSecurityDefault }}
podSecurityDefault: {{ . }}
{{- end }}
{{- with .Values.inject.volumeClaim }}
volumeClaim: {{ . | quote }}
{{- end }}
{{- if or .Values.auth.enabled .Values.inject.reports }}
tokenAudience: {{ .Values.auth.audience | quote }}
{{- end }}
defaults: {{- toYaml $defaults | nindent 2 }}
{{- end }}

{{/* "true" if agents' reports are taken. */}}
{{- define "crik.reports" -}}
{{- if and .Values.inject.enabled .Values.inject.reports }}true{{ end -}}
{{- end }}

{{/* "true" if evictions of labelled pods wait for their checkpoints. */}}
{{- define "crik.moves" -}}
{{- if and .Values.inject.enabled .Values.inject.moves.enabled }}true{{ end -}}
{{- end }}

{{/* "true" if labelled pods are watched. */}}
{{- define "crik.workloads" -}}
{{- if or (include "crik.reports" .) (include "crik.moves" .) }}true{{ end -}}
{{- end }}

{{/* Quoted, since a value may have any characters; numbers by int64, since YAML's are floats that print as 1e+06. */}}
{{- define "crik.args" -}}
- {{ printf "--log-format=%s" .Values.logFormat | quote }}
{{- if .Values.debug }}
- "--debug"
{{- end }}
- {{ printf "--shutdown-delay=%ds" (int64 .Values.shutdownDelaySeconds) | quote }}
{{- with .Values.maxWaitingPolls }}
- {{ printf "--max-waiting-polls=%d" (int64 .) | quote }}
{{- end }}
{{- with .Values.maxConnectionsPerPeer }}
- {{ printf "--max-connections-per-peer=%d" (int64 .) | quote }}
{{- end }}
{{- if .Values.auth.enabled }}
- "--auth=token"
{{- with .Values.auth.allowAllNodesFor }}
- {{ printf "--allow-all-nodes-for=%s" (join "," .) | quote }}
{{- end }}
{{- end }}
{{- if or .Values.auth.enabled (include "crik.reports" .) }}
- {{ printf "--audience=%s" .Values.auth.audience | quote }}
{{- end }}
{{- if .Values.tls.secretName }}
- "--tls-cert-file=/etc/crik/tls/tls.crt"
- "--tls-key-file=/etc/crik/tls/tls.key"
{{- end }}
{{- if .Values.inject.enabled }}
- "--webhook-listen=[::]:9443"
- "--inject-file=/etc/crik/inject/inject.yaml"
{{- if .Values.inject.certManager.issuerRef }}
- "--webhook-tls-cert-file=/etc/crik/webhook/tls.crt"
- "--webhook-tls-key-file=/etc/crik/webhook/tls.key"
{{- else }}
- {{ printf "--webhook-secret=%s/%s" .Release.Namespace (include "crik.webhook" .) | quote }}
- {{ printf "--webhook-configuration=%s" (include "crik.clusterName" .) | quote }}
{{- if .Values.inject.moves.enabled }}
- {{ printf "--webhook-validating-configuration=%s" (include "crik.clusterName" .) | quote }}
{{- end }}
- {{ printf "--webhook-names=%s.%s.svc" (include "crik.webhook" .) .Release.Namespace | quote }}
{{- end }}
{{- if include "crik.workloads" . }}
- "--workloads"
{{- end }}
{{- if .Values.inject.reports }}
- "--reports"
{{- end }}
{{- with .Values.inject.moves }}
{{- if .enabled }}
- {{ printf "--moves-per-node=%d" (int64 .perNode) | quote }}
- {{ printf "--moves-per-cluster=%d" (int64 .perCluster) | quote }}
- {{ printf "--eviction-deadline=%s" .deadline | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.signals }}
- "--signals-file=/etc/crik/signals/signals.yaml"
{{- end }}
{{- if not .Values.pods.enabled }}
- "--pods=false"
{{- end }}
{{- if not .Values.events.enabled }}
- "--events=false"
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* The controller's flags that values say, and which ones. The same go for its variables: CRIK_MAX_WAITING_POLLS and so on. */}}
{{- define "crik.flagsOfValues" -}}
log-format: logFormat
debug: debug
shutdown-delay: shutdownDelaySeconds
max-waiting-polls: maxWaitingPolls
max-connections-per-peer: maxConnectionsPerPeer
auth: auth.enabled
audience: auth.audience
allow-all-nodes-for: auth.allowAllNodesFor
tls-cert-file: tls.secretName
tls-key-file: tls.secretName
signals-file: signals
pods: pods.enabled
events: events.enabled
webhook-listen: inject.enabled
inject-file: inject.enabled
webhook-tls-cert-file: inject.certManager.issuerRef
webhook-tls-key-file: inject.certManager.issuerRef
webhook-secret: inject.enabled
webhook-configuration: inject.enabled
webhook-validating-configuration: inject.moves.enabled
webhook-names: inject.enabled
workloads: inject.moves.enabled
reports: inject.reports
moves-per-node: inject.moves.perNode
moves-per-cluster: inject.moves.perCluster
eviction-deadline: inject.moves.deadline
{{- end }}

{{/* Names of signals that the controller has by itself, and of the two reasons that are its own. */}}
{{- define "crik.signalsOfItsOwn" -}}
- ack-instance-expired
- aks-draining
- aks-nth-preempt
- aks-nth-reboot
- aks-nth-redeploy
- aks-nth-terminate
- aks-preemption
- aks-rebalance-advisory
- aks-remediator
- aks-remediator-old
- aks-spot-eviction
- aks-vm-event
- aks-vm-event-other
- aks-vm-freeze
- autoscaler-candidate
- autoscaler-to-be-deleted
- aws-asg-lifecycle-termination
- aws-rebalance-recommendation
- aws-scheduled-maintenance
- aws-spot-itn
- castai-draining
- castai-spot-interruption
- cloud-shutdown
- cluster-api-outdated
- cordon
- coreweave-evict
- draino
- gardener-deletion
- gke-impending-termination
- gke-maintenance
- gke-maintenance-latest
- gke-maintenance-scheduled
- gke-maintenance-window
- hyperpod-recovery
- karpenter-disrupted
- karpenter-disruption
- karpenter-termination
- kubelet-shutdown
- kubelet-silent
- machine-terminating
- medik8s-drain
- medik8s-remediation
- nebius-maintenance
- no-execute-taint
- not-ready-eviction
- nvsentinel-draining
- openshift-drain
- out-of-service
- unreachable-eviction
- deleted
- source-lost
{{- end }}

{{/*
How much memory the polls need, in MiB: 15 KiB for each that waits (10 on x86_64, whose allocator is another one), 25 with TLS, and 2
for what is known of its tokens; at worst a request's head of 8 KiB on each connection, of which there are 1,152 more than polls, and
with TLS the same as it was encrypted; 4 KiB that the kernel has for each connection (TCP, sock_inode_cache, filp, dentry and
eventpoll_epi in /proc/slabinfo), which a pod's limit counts; and 192 MiB for 50,000 nodes and the four lists of them that there may be.
*/}}
{{- define "crik.memory" -}}
{{- $polls := int64 (.Values.maxWaitingPolls | default 20000) -}}
{{- $poll := add (ternary 25 15 (ne .Values.tls.secretName "")) (ternary 2 0 (or .Values.auth.enabled (eq (include "crik.reports" .) "true"))) -}}
{{- $connection := ternary 20 12 (ne .Values.tls.secretName "") -}}
{{ add 192 (div (add (mul $polls $poll) (mul (add $polls 1152) $connection)) 1024) }}
{{- end }}

{{/* A quantity in MiB, of which fractions do not count. */}}
{{- define "crik.mebibytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[+]?[0-9.]+([eE][+-]?[0-9]+)?" $text | float64 -}}
{{- $suffix := regexFind "[a-zA-Z]*$" $text -}}
{{- $bytes := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{ divf (mulf $number (get $bytes $suffix | default 1.0)) 1048576.0 | floor | int64 }}
{{- end }}

{{/* What each replica asks for and may use. */}}
{{- define "crik.resources" -}}
{{- $needed := include "crik.memory" . | int64 -}}
{{- $limits := .Values.resources.limits | default dict -}}
{{- $given := $limits.memory -}}
{{- if and $given (lt (include "crik.mebibytes" $given | int64) $needed) -}}
{{- fail (printf "resources.limits.memory is %v, and %v waiting polls need %dMi: raise it, leave it out, or lower maxWaitingPolls" $given (int64 (.Values.maxWaitingPolls | default 20000)) $needed) -}}
{{- end -}}
{{- $memory := $given | default (printf "%dMi" $needed) -}}
{{ toYaml (dict "requests" (.Values.resources.requests | default dict) "limits" (merge (dict "memory" $memory) $limits)) }}
{{- end }}

{{/* What values can be and still cannot work, each with its remedy. */}}
{{- define "crik.check" -}}
{{- if and .Values.auth.enabled (semverCompare "<1.32.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "auth.enabled needs Kubernetes 1.32, whose tokens name the pod's node; this is %s, where every agent would be refused" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.inject.enabled .Values.tls.secretName (not .Values.inject.defaults.nodeStateServerCAFile) -}}
{{- fail "inject.enabled with tls.secretName needs inject.defaults.nodeStateServerCAFile: a file in your pods with the certificate of who issued the controller's" -}}
{{- end -}}
{{- if and (include "crik.moves" .) (not .Values.inject.reports) -}}
{{- fail "inject.moves needs inject.reports, by which it is known that a checkpoint is there; set inject.reports=true, or inject.moves.enabled=false as well" -}}
{{- end -}}
{{- $sleep := dig "preStop" "sleep" "seconds" 0 .Values.lifecycle | int64 -}}
{{- if gt (add 5 $sleep (int64 .Values.shutdownDelaySeconds)) (int64 .Values.terminationGracePeriodSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and shutdownDelaySeconds needs 5 more than its %d%s" (int64 .Values.terminationGracePeriodSeconds) (int64 .Values.shutdownDelaySeconds) (ternary (printf ", after the %d of lifecycle.preStop.sleep" $sleep) "" (gt $sleep 0))) -}}
{{- end -}}
{{- $flags := include "crik.flagsOfValues" . | fromYaml -}}
{{- range $argument := .Values.extraArgs -}}
{{- with get $flags (regexReplaceAll "=.*$" $argument "" | trimPrefix "--") -}}
{{- fail (printf "extraArgs: %s is said by the value %s" $argument .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- $name := .name -}}
{{- with get $flags (trimPrefix "CRIK_" $name | lower | replace "_" "-") -}}
{{- if hasPrefix "CRIK_" $name -}}
{{- fail (printf "extraEnv: %s is said by the value %s" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := include "crik.signalsOfItsOwn" . | fromYamlArray -}}
{{- $names := list -}}
{{- range .Values.signals -}}
{{- if has .name $own -}}
{{- fail (printf "signals: %s is the name of a signal that the controller has by itself; take another one" .name) -}}
{{- end -}}
{{- if has .name $names -}}
{{- fail (printf "signals: %s is there twice; give each its own name" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (not .Values.serviceMonitor.enabled) -}}
{{- fail "prometheusRule.enabled: the alerts are of what a ServiceMonitor has scraped, and without one CrikControllerAbsent would never end; set serviceMonitor.enabled=true as well" -}}
{{- end -}}
{{- if and .Values.hostNetwork .Values.networkPolicy.enabled -}}
{{- fail "hostNetwork: a NetworkPolicy does not hold for a pod in its node's network; set networkPolicy.enabled=false as well" -}}
{{- end -}}
{{- range $key, $_ := .Values.commonLabels -}}
{{- if hasPrefix "app.kubernetes.io/" $key -}}
{{- fail (printf "commonLabels: %s is the chart's own" $key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Where the replicas should run. Spot nodes are known by the labels of GKE, EKS, Karpenter, AKS, kOps, CAST AI, OpenShift, OKE and ACK. */}}
{{- define "crik.affinity" -}}
{{- if .Values.affinity -}}
{{ toYaml .Values.affinity }}
{{- else -}}
{{- if .Values.avoidSpotNodes -}}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 50
      preference:
        matchExpressions:
          - {key: cloud.google.com/gke-spot, operator: NotIn, values: ["true"]}
          - {key: cloud.google.com/gke-preemptible, operator: NotIn, values: ["true"]}
          - {key: eks.amazonaws.com/capacityType, operator: NotIn, values: [SPOT]}
          - {key: karpenter.sh/capacity-type, operator: NotIn, values: [spot]}
          - {key: kubernetes.azure.com/scalesetpriority, operator: NotIn, values: [spot]}
          - {key: node-role.kubernetes.io/spot-worker, operator: DoesNotExist}
          - {key: scheduling.cast.ai/spot, operator: NotIn, values: ["true"]}
          - {key: machine.openshift.io/interruptible-instance, operator: DoesNotExist}
          - {key: oci.oraclecloud.com/oke-is-preemptible, operator: NotIn, values: ["true"]}
          - {key: node.alibabacloud.com/spot-strategy, operator: NotIn, values: [SpotWithPriceLimit, SpotAsPriceGo]}
{{ end -}}
podAntiAffinity:
  # One node that goes away must not take all replicas with it. Preferred, since a cluster may have one node.
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "crik.selector" . | nindent 12 }}
{{- end }}
{{- end }}

{{- define "crik.probe" -}}
{{- $http := dict "httpGet" (dict "path" .path "port" "api" "scheme" .scheme) -}}
{{ toYaml (merge $http .probe) }}
{{- end }}
