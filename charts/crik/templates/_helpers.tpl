{{/* The name of everything that belongs to the release. A Service's has 63 characters at most, a release's 53. */}}
{{- define "crik.name" -}}
{{ printf "%s-controller" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The same for what belongs to no namespace. */}}
{{- define "crik.clusterName" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}-controller
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
{{- end }}

{{- define "crik.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "crik.scheme" -}}
{{ if .Values.tls.secretName }}https{{ else }}http{{ end }}
{{- end }}

{{/* Where agents ask. */}}
{{- define "crik.url" -}}
{{ include "crik.scheme" . }}://{{ include "crik.name" . }}.{{ .Release.Namespace }}:9376
{{- end }}

{{/* Quoted, since a value may have any characters; numbers by int64, since YAML's are floats that print as 1e+06. */}}
{{- define "crik.args" -}}
- {{ printf "--log-format=%s" .Values.logFormat | quote }}
{{- if .Values.debug }}
- "--debug"
{{- end }}
{{- with .Values.maxWaitingPolls }}
- {{ printf "--max-waiting-polls=%d" (int64 .) | quote }}
{{- end }}
{{- with .Values.maxConnectionsPerPeer }}
- {{ printf "--max-connections-per-peer=%d" (int64 .) | quote }}
{{- end }}
{{- if .Values.auth.enabled }}
- "--auth=token"
- {{ printf "--audience=%s" .Values.auth.audience | quote }}
{{- with .Values.auth.allowAllNodesFor }}
- {{ printf "--allow-all-nodes-for=%s" (join "," .) | quote }}
{{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- "--tls-cert-file=/etc/crik/tls/tls.crt"
- "--tls-key-file=/etc/crik/tls/tls.key"
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
{{- end }}

{{/* What the restricted Pod Security Standard asks for, and a file system that cannot be written. */}}
{{- define "crik.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}
