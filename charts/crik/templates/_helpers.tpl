{{/* The name of everything that belongs to the release. */}}
{{- define "crik.name" -}}
{{ .Release.Name }}-controller
{{- end }}

{{/* The same for what belongs to no namespace. */}}
{{- define "crik.clusterName" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}-controller
{{- end }}

{{- define "crik.selector" -}}
app.kubernetes.io/name: crik-controller
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

{{- define "crik.args" -}}
- --log-format={{ .Values.logFormat }}
{{- if .Values.debug }}
- --debug
{{- end }}
{{- with .Values.maxWaitingPolls }}
- --max-waiting-polls={{ . }}
{{- end }}
{{- if .Values.auth.enabled }}
- --auth=token
- --audience={{ .Values.auth.audience }}
{{- with .Values.auth.allowAllNodesFor }}
- --allow-all-nodes-for={{ join "," . }}
{{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- --tls-cert-file=/etc/crik/tls/tls.crt
- --tls-key-file=/etc/crik/tls/tls.key
{{- end }}
{{- if .Values.signals }}
- --signals-file=/etc/crik/signals/signals.yaml
{{- end }}
{{- if not .Values.events.enabled }}
- --events=false
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
