{{- /* What a schema cannot say: values that do not go together. */}}
{{- define "voyage-gateway.checks" -}}
{{- if and .Values.simulator.enabled (ne .Values.networkPolicy.kind "none") }}
{{- fail "networkPolicy.kind must be none with the simulator: the policies let the gateway reach Voyage only" }}
{{- end }}
{{- if and .Values.gatewayApi.enabled (eq .Values.auth.mode "mtls") }}
{{- fail "gatewayApi.enabled must be false with auth.mode mtls: the route forwards in plaintext" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas must be at most autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
