{{- /* What selects the gateway's pods; it never changes. */}}
{{- define "voyage-gateway.selector" -}}
app.kubernetes.io/name: voyage-gateway
app.kubernetes.io/instance: {{ .Values.name | quote }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "voyage-gateway.simulator.selector" -}}
app.kubernetes.io/name: voyage-simulator
app.kubernetes.io/instance: {{ .Values.name }}-simulator
app.kubernetes.io/component: simulator
{{- end }}

{{- /* What every object and pod has beside it. */}}
{{- define "voyage-gateway.common" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: voyage-gateway
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "voyage-gateway.labels" -}}
{{ include "voyage-gateway.selector" . }}
{{ include "voyage-gateway.common" . }}
{{- end }}

{{- define "voyage-gateway.simulator.labels" -}}
{{ include "voyage-gateway.simulator.selector" . }}
{{ include "voyage-gateway.common" . }}
{{- end }}

{{- define "voyage-gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "voyage-gateway.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "voyage-gateway.config" -}}
{{ .Values.config | default (.Files.Get "files/config.toml") }}
{{- end }}

{{- /* The name ends in a hash of the content: a changed configuration is a rolling update. */}}
{{- define "voyage-gateway.config.name" -}}
{{ .Values.name }}-config-{{ include "voyage-gateway.config" . | sha256sum | trunc 10 }}
{{- end }}

{{- /* auth.mode, said or implied by the simulator. */}}
{{- define "voyage-gateway.auth.mode" -}}
{{- if .Values.auth.mode -}}
{{ .Values.auth.mode }}
{{- else if .Values.simulator.enabled -}}
none
{{- else -}}
{{ fail "auth.mode must be set without the simulator: jwt, tokens, mtls, or none (no authentication)" }}
{{- end }}
{{- end }}

{{- /* Pod Security, restricted: of a pod, and of a container. */}}
{{- define "voyage-gateway.pod.security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "voyage-gateway.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop:
    - ALL
seccompProfile:
  type: RuntimeDefault
{{- end }}
