{{/* The configuration file. */}}

{{/* One TOML value. A number of values.yaml is a float to Helm, which no key takes. */}}
{{- define "sluice.toml.value" -}}
{{- if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}{{- $items = append $items (include "sluice.toml.value" .) -}}{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "string" . -}}
{{ toRawJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if eq (float64 .) (float64 (int64 .)) -}}
{{ int64 . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The keys of a section. */}}
{{- define "sluice.toml.keys" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ if regexMatch "^[A-Za-z0-9_-]+$" $key }}{{ $key }}{{ else }}{{ toRawJson $key }}{{ end }} = {{ include "sluice.toml.value" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sluice.bind" -}}
{{- $host := contains ":" .host | ternary (printf "[%s]" .host) .host -}}
{{ $host }}:{{ int .port }}
{{- end -}}

{{/* librdkafka properties that follow from `kafka.sasl` and `kafka.tls`; those of the user win. */}}
{{- define "sluice.kafkaProperties" -}}
{{- $sasl := .Values.kafka.sasl -}}
{{- $tls := .Values.kafka.tls -}}
{{- $properties := dict -}}
{{- $protocol := printf "%s%s" (ternary "SASL_" "" (ne $sasl.mechanism "")) (ternary "SSL" "PLAINTEXT" $tls.enabled) -}}
{{- if ne $protocol "PLAINTEXT" -}}
{{- $_ := set $properties "security.protocol" $protocol -}}
{{- end -}}
{{- if $sasl.mechanism -}}
{{- $_ := set $properties "sasl.mechanisms" $sasl.mechanism -}}
{{- end -}}
{{- if $tls.enabled -}}
{{- if $tls.caSecret -}}
{{- $_ := set $properties "ssl.ca.location" "/etc/sluice/kafka-ca/ca.crt" -}}
{{- end -}}
{{- if $tls.clientSecret -}}
{{- $_ := set $properties "ssl.certificate.location" "/etc/sluice/kafka-client/tls.crt" -}}
{{- $_ := set $properties "ssl.key.location" "/etc/sluice/kafka-client/tls.key" -}}
{{- end -}}
{{- end -}}
{{- toJson (merge dict .Values.kafka.properties $properties) -}}
{{- end -}}

{{- define "sluice.config" -}}
{{- $values := .Values -}}
{{- $address := $values.bindAddress -}}
{{- $peers := list -}}
{{- range $ordinal := until (include "sluice.contacts" . | int) -}}
{{- $pod := printf "%s-%d" (include "sluice.fullname" $) $ordinal -}}
{{- $peers = append $peers (printf "%s.%s:%d" $pod (include "sluice.domain" $) (int $values.ports.internal)) -}}
{{- end -}}
{{- $http := dict "bind" (list (include "sluice.bind" (dict "host" $address "port" $values.ports.client))) -}}
{{- $admin := dict "bind" (include "sluice.bind" (dict "host" $address "port" $values.ports.admin)) -}}
{{- $id := default (printf "%s.%s" .Release.Namespace .Release.Name) $values.cluster.id -}}
{{- $cluster := dict
  "id" $id
  "bind" (include "sluice.bind" (dict "host" $address "port" $values.ports.internal))
  "peers" $peers
  "data_dir" "/var/lib/sluice"
  "secret_file" "/etc/sluice/cluster/secret" -}}
{{- $kafka := dict "bootstrap_servers" $values.kafka.bootstrapServers -}}
{{- with $values.kafka.assignmentStrategy -}}
{{- $_ := set $kafka "assignment_strategy" . -}}
{{- end -}}
{{- $registry := dict -}}
{{- with $values.schemaRegistry -}}
{{- if .url -}}
{{- $_ := set $registry "url" .url -}}
{{- end -}}
{{- if .caSecret -}}
{{- $_ := set $registry "ca_file" "/etc/sluice/schema-registry-ca/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- $sections := merge
  (dict "http" $http "admin" $admin "cluster" $cluster "kafka" $kafka "schema_registry" $registry)
  (deepCopy $values.config) -}}
{{- range $section, $keys := $sections }}
{{- if $keys }}
[{{ $section }}]
{{- include "sluice.toml.keys" $keys }}
{{ end }}
{{- end }}
{{- $properties := dict
  "properties" (include "sluice.kafkaProperties" . | fromJson)
  "consumer" $values.kafka.consumer
  "producer" $values.kafka.producer }}
{{- range $section, $keys := $properties }}
{{- if $keys }}
[kafka.{{ $section }}]
{{- include "sluice.toml.keys" $keys }}
{{ end }}
{{- end }}
{{- end -}}
