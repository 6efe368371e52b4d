{{/* Names: one release a namespace is the usual case, so the release's name is all. */}}
{{- define "shipper.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* (dict "root" $ "part" "agent") */}}
{{- define "shipper.labels" -}}
{{ include "shipper.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "shipper.selector" -}}
app.kubernetes.io/name: shipper
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "shipper.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The addresses of all collectors of this release, in order. */}}
{{- define "shipper.addresses" -}}
{{- $name := include "shipper.name" . -}}
{{- range $number := until (int .Values.collector.replicas) }}
- {{ $name }}-collector-{{ $number }}.{{ $name }}-collector.{{ $.Release.Namespace }}.svc:7420
{{- end -}}
{{- end -}}

{{- define "shipper.agentConfig" -}}
{{- if not (or .Values.collector.enabled .Values.agent.central.addresses) -}}
{{- fail "agent.central.addresses: name the collectors, as this release has none (collector.enabled is false)" -}}
{{- end -}}
{{- $here := dict "type" "grpc" -}}
{{- if .Values.collector.enabled -}}
{{- $_ := set $here "addresses" (include "shipper.addresses" . | fromYamlArray) -}}
{{- end -}}
{{- $made := dict "sinks" (dict "central" (mustMergeOverwrite $here (deepCopy .Values.agent.central))) "admin" (dict "listen" "0.0.0.0:7421") -}}
{{- mustMergeOverwrite (deepCopy .Values.agent.config) $made | toYaml -}}
{{- end -}}

{{- define "shipper.collectorConfig" -}}
{{- $agents := mustMergeOverwrite (dict "type" "grpc" "listen" "0.0.0.0:7420") (deepCopy .Values.collector.agents) -}}
{{- $made := dict "sources" (dict "agents" $agents) "admin" (dict "listen" "0.0.0.0:7421") -}}
{{- mustMergeOverwrite (deepCopy .Values.collector.config) $made | toYaml -}}
{{- end -}}

{{/* The API of Kubernetes is not asked for anything yet: no role, and no token in the pods. */}}
{{- define "shipper.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "shipper.name" .root }}-{{ .part }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "shipper.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}

{{- define "shipper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* /healthz: a process in which something hangs is restarted. /readyz shows an outage as well: it must not restart anything. */}}
{{- define "shipper.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  # A large spool is looked through after a crash: up to two minutes.
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}
