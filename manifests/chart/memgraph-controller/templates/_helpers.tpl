{{/* Values that this chart knows and the release does not have: `helm upgrade --reuse-values` keeps the
     older chart's defaults. Each template begins with it. What a person has taken out of an object of
     their own (limits, labels) stays out. files/defaults.yaml is values.yaml, copied by ./scripts/render:
     a template cannot read that. */}}
{{- define "mc.complete" -}}
{{- include "mc.fill" (dict "values" .Values "defaults" (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end -}}
{{- define "mc.fill" -}}
{{- range $key, $default := .defaults -}}
{{- if not (hasKey $.values $key) -}}
{{- $_ := set $.values $key $default -}}
{{- else if and (kindIs "map" $default) (not (has $key (list "resources" "labels"))) -}}
{{- include "mc.fill" (dict "values" (get $.values $key) "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{/* Names: everything carries the release, so that two releases never touch each other. */}}
{{- define "mc.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- define "mc.statefulset" -}}
{{- if .Values.memgraph.enabled }}{{ include "mc.name" . }}-db{{ else }}{{ required "memgraph.existing.statefulSet: name the StatefulSet to attach to" .Values.memgraph.existing.statefulSet }}{{ end -}}
{{- end -}}
{{- define "mc.headless" -}}
{{- if .Values.memgraph.enabled }}{{ include "mc.name" . }}-db{{ else }}{{ .Values.memgraph.existing.service }}{{ end -}}
{{- end -}}
{{- define "mc.secret" -}}{{ .Values.auth.existingSecret | default (printf "%s-auth" (include "mc.name" .)) }}{{- end -}}
{{- define "mc.image" -}}{{ .Values.controller.image.repository }}:{{ .Values.controller.image.tag | default .Chart.AppVersion }}{{- end -}}

{{- define "mc.selector" -}}
app.kubernetes.io/name: memgraph
app.kubernetes.io/instance: {{ include "mc.name" . }}
{{- end -}}
{{/* Labels of the instances' pods: ours, or those of the StatefulSet that is attached to. */}}
{{- define "mc.database" -}}
{{- if .Values.memgraph.enabled -}}
{{ include "mc.selector" . }}
app.kubernetes.io/component: database
{{- else -}}
{{ toYaml .Values.memgraph.existing.podLabels }}
{{- end -}}
{{- end -}}
{{/* "yes" where there is a NetworkPolicy. */}}
{{- define "mc.shielded" -}}
{{- if and .Values.networkPolicy.enabled (or .Values.memgraph.enabled .Values.memgraph.existing.podLabels) }}yes{{ end -}}
{{- end -}}
{{- define "mc.podLabels" -}}
{{- $labels := list -}}
{{- range $key, $value := .Values.memgraph.existing.podLabels -}}
{{- $labels = append $labels (printf "%s=%s" $key $value) -}}
{{- end -}}
{{ join "," $labels }}
{{- end -}}
{{- define "mc.scheme" -}}bolt{{ if .Values.gateway.tls.secretName }}+s{{ end }}{{- end -}}
{{- define "mc.labels" -}}
{{ include "mc.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* What Pod Security "restricted" asks of a container. */}}
{{- define "mc.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "mc.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ if eq .mode "required" }}DoNotSchedule{{ else }}ScheduleAnyway{{ end }}
    labelSelector:
      matchLabels:
        app.kubernetes.io/instance: {{ include "mc.name" .root }}
        app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* "yes" where a value says true, or says auto and the cluster knows the kind. */}}
{{- define "mc.wanted" -}}
{{- if eq (toString .value) "auto" -}}
{{- if .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}yes{{ end -}}
{{- else if .value }}yes{{ end -}}
{{- end -}}

{{/* files/alerts.yaml for this release: {RELEASE...} gets the matchers of its metrics, RELEASE_NAME its
     name, RUNBOOKS the address of docs/runbooks. Every pod counts what it folds of the ledger, so
     those are looked at with max, never with sum. */}}
{{- define "mc.alerts" -}}
{{- $matchers := .Values.prometheusRule.matchers | default (printf "namespace=%q,job=%q" .Release.Namespace (include "mc.name" .)) -}}
{{- .Files.Get "files/alerts.yaml" | replace "{RELEASE" (printf "{%s" $matchers) | replace "RELEASE_NAME" (include "mc.name" .) | replace "RUNBOOKS" (.Values.prometheusRule.runbooks | default "docs/runbooks" | trimSuffix "/") -}}
{{- end -}}
