{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of nearly everything. Room is left for what Kubernetes appends to that of pods. */}}
{{- define "sluice.fullname" -}}
{{- $name := include "sluice.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.internalName" -}}
{{ include "sluice.fullname" . }}-internal
{{- end -}}

{{/* What never changes: selectors and claims cannot be changed by an upgrade. */}}
{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The pods of the nodes, not that of `helm test`. */}}
{{- define "sluice.nodeLabels" -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "sluice.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.clusterSecretName" -}}
{{ default (printf "%s-cluster" (include "sluice.fullname" .)) .Values.cluster.existingSecret }}
{{- end -}}

{{/* How many nodes there are to begin with. */}}
{{- define "sluice.replicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{ int .Values.autoscaling.minReplicas }}
{{- else -}}
{{ int .Values.replicas }}
{{- end -}}
{{- end -}}

{{/*
How many nodes are named as contact points. What the release was installed with stands, so that
other numbers of nodes restart nobody. Two exceptions: nobody waits for a node that is not to be,
and a node that began alone gets company, lest it begin anew alone should it lose its volume.
*/}}
{{- define "sluice.contacts" -}}
{{- $replicas := include "sluice.replicas" . | int -}}
{{- $name := include "sluice.fullname" . -}}
{{- $found := lookup "apps/v1" "StatefulSet" .Release.Namespace $name | default dict -}}
{{- $kept := dig "metadata" "annotations" "sluice/contacts" "0" $found | int -}}
{{- if .Values.cluster.contacts -}}
{{ int .Values.cluster.contacts }}
{{- else if gt $kept 1 -}}
{{ min $kept $replicas }}
{{- else -}}
{{ $replicas }}
{{- end -}}
{{- end -}}

{{/* What follows a pod's name in the name under which the others find it. */}}
{{- define "sluice.domain" -}}
{{ include "sluice.internalName" . }}.{{ .Release.Namespace }}.svc.{{ .Values.cluster.domain }}
{{- end -}}

{{/*
How many nodes there are. The autoscaler's number stands, were it none; a field left out would be 1
to Kubernetes, as soon as an earlier release had it.
*/}}
{{- define "sluice.replicasNow" -}}
{{- if .Values.autoscaling.enabled -}}
{{- $found := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "sluice.fullname" .) | default dict -}}
{{ dig "spec" "replicas" .Values.autoscaling.minReplicas $found | int }}
{{- else -}}
{{ int .Values.replicas }}
{{- end -}}
{{- end -}}

{{/* The milliseconds of a duration such as "1min 30s". */}}
{{- define "sluice.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "min" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+ *(ms|s|min|m|h|d)" . -1 -}}
{{- $number := regexFind "[1-9][0-9]*" . | int64 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul $number (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* The bytes of a number, or of a size such as "16MiB" or "1.5Gi". */}}
{{- define "sluice.bytes" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- printf "%.0f" (mulf (regexFind "[0-9.]+" .) (get $units (regexFind "[KMGTP]i?" .))) -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* The seconds that the order to stop may take before the signal. */}}
{{- define "sluice.preStopSeconds" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version -}}
{{ int .Values.preStopSeconds }}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{- define "sluice.gracePeriod" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{ int .Values.terminationGracePeriodSeconds }}
{{- else -}}
{{- $drain := include "sluice.milliseconds" .Values.config.drain.timeout | int -}}
{{ add (include "sluice.preStopSeconds" . | int) (div (add $drain 999) 1000) 5 }}
{{- end -}}
{{- end -}}

{{/* The name of the variable for a librdkafka property. */}}
{{- define "sluice.propertyVariable" -}}
SLUICE_KAFKA__PROPERTIES__{{ . | upper | replace "." "_" }}
{{- end -}}
