{{/*
What a schema cannot say, because it is about several values or needs more words: all that is wrong
at once, a sentence each.
*/}}
{{- define "sluice.validate" -}}
{{- $wrong := list -}}
{{- $values := .Values -}}

{{- /* Key, value, what it looks like, in words. An empty text stands for the default. */ -}}
{{- $duration := "^[0-9]+ *(ms|s|m|min|h)( *[0-9]+ *(ms|s|m|min|h))*$" -}}
{{- $aDuration := "a duration with its unit, such as 500ms, 25s or 10min" -}}
{{- $aSize := "a size with its unit, such as 16MiB" -}}
{{- $texts := list
  (list "cluster.id" $values.cluster.id "^[A-Za-z0-9._-]{1,253}$" "1 to 253 of A-Z a-z 0-9 . _ -")
  (list "cluster.domain" $values.cluster.domain "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$" "a domain name, such as cluster.local")
  (list "cluster.secretKey" $values.cluster.secretKey "^[A-Za-z0-9._-]+$" "the name of a key in a Secret")
  (list "image.digest" $values.image.digest "^sha256:[0-9a-f]{64}$" "sha256: and 64 hexadecimal digits")
  (list "fullnameOverride" $values.fullnameOverride "^[a-z]([a-z0-9-]*[a-z0-9])?$" "lower case letters, digits and hyphens, a letter first")
  (list "persistence.size" $values.persistence.size "^[0-9]+([.][0-9]+)?(Mi|Gi|Ti|M|G|T)$" "a size as Kubernetes writes it, such as 1Gi")
  (list "monitoring.serviceMonitor.interval" $values.monitoring.serviceMonitor.interval $duration $aDuration)
  (list "monitoring.podMonitor.interval" $values.monitoring.podMonitor.interval $duration $aDuration)
-}}
{{- range $section := list "http" "cluster" "schema_registry" "limits" "drain" -}}
{{- range $key, $value := get $values.config $section -}}
{{- $name := printf "config.%s.%s" $section $key -}}
{{- if not (kindIs "string" $value) -}}
{{- /* A number: the schema says which ones there may be. */ -}}
{{- else if hasSuffix "_bytes" $key -}}
{{- $texts = append $texts (list $name $value "^[0-9]+ *([KMGT]i?)?B$" $aSize) -}}
{{- else -}}
{{- $texts = append $texts (list $name $value $duration $aDuration) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.kafka.bootstrapServers -}}
{{- $texts = append $texts (list "kafka.bootstrapServers" . "^([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$" "a host with its port, such as kafka-0.kafka:9092") -}}
{{- end -}}
{{- range $text := $texts -}}
{{- if and (index $text 1) (not (regexMatch (index $text 2) (index $text 1))) -}}
{{- $wrong = append $wrong (printf "%s is %q and must be %s" (index $text 0) (index $text 1) (index $text 3)) -}}
{{- end -}}
{{- end -}}
{{- if not $values.kafka.bootstrapServers -}}
{{- $wrong = append $wrong "kafka.bootstrapServers is empty: name at least one broker, as in --set kafka.bootstrapServers={kafka-0.kafka:9092}" -}}
{{- end -}}

{{- $lease := dig "lease" "3s" $values.config.cluster -}}
{{- $death := dig "death_after" "5s" $values.config.cluster -}}
{{- if le (include "sluice.milliseconds" $death | int) (include "sluice.milliseconds" $lease | int) -}}
{{- $wrong = append $wrong (printf "config.cluster.death_after is %s and must be longer than config.cluster.lease, %s" $death $lease) -}}
{{- end -}}

{{- $timeout := $values.config.drain.timeout -}}
{{- $linger := $values.config.drain.linger -}}
{{- if ge (include "sluice.milliseconds" $linger | int) (include "sluice.milliseconds" $timeout | int) -}}
{{- $wrong = append $wrong (printf "config.drain.linger is %s and must be shorter than config.drain.timeout, %s, which is for all of the drain" $linger $timeout) -}}
{{- end -}}
{{- $needed := add (include "sluice.preStopSeconds" . | int) (div (add (include "sluice.milliseconds" $timeout | int) 999) 1000) -}}
{{- if and $values.terminationGracePeriodSeconds (le (int $values.terminationGracePeriodSeconds) (int $needed)) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds is %d and must be more than preStopSeconds and config.drain.timeout together, %d: nodes would be killed amid their drain" (int $values.terminationGracePeriodSeconds) (int $needed)) -}}
{{- end -}}

{{- $contacts := include "sluice.contacts" . | int -}}
{{- $replicas := include "sluice.replicas" . | int -}}
{{- if gt $contacts $replicas -}}
{{- $wrong = append $wrong (printf "cluster.contacts is %d and there are only %d nodes to begin with: the cluster would wait for the others for ever" $contacts $replicas) -}}
{{- end -}}

{{- with $values.autoscaling -}}
{{- if and .enabled (lt (int .maxReplicas) (int .minReplicas)) -}}
{{- $wrong = append $wrong (printf "autoscaling.maxReplicas is %d and must not be less than autoscaling.minReplicas, %d" (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- end -}}

{{- with $values.ports -}}
{{- if or (eq (int .client) (int .admin)) (eq (int .client) (int .internal)) (eq (int .admin) (int .internal)) -}}
{{- $wrong = append $wrong (printf "ports.client, ports.admin and ports.internal are %d, %d and %d and must be three different ones" (int .client) (int .admin) (int .internal)) -}}
{{- end -}}
{{- end -}}

{{- with $values.schemaRegistry -}}
{{- if and .basicSecret .tokenSecret -}}
{{- $wrong = append $wrong "schemaRegistry.basicSecret and schemaRegistry.tokenSecret are both set: the registry is shown one of them" -}}
{{- end -}}
{{- if and (or .basicSecret .tokenSecret .caSecret) (not .url) -}}
{{- $wrong = append $wrong "schemaRegistry.url is empty and schemaRegistry names a Secret: say where the registry is" -}}
{{- end -}}
{{- end -}}
{{- with $values.kafka.sasl -}}
{{- if and .mechanism (not .existingSecret) -}}
{{- $wrong = append $wrong (printf "kafka.sasl.mechanism is %s and kafka.sasl.existingSecret is empty: name the Secret with the user's name and password" .mechanism) -}}
{{- end -}}
{{- if and .existingSecret (not .mechanism) -}}
{{- $wrong = append $wrong "kafka.sasl.existingSecret is set and kafka.sasl.mechanism is not: say PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512" -}}
{{- end -}}
{{- end -}}
{{- with $values.kafka.tls -}}
{{- if and (not .enabled) (or .caSecret .clientSecret) -}}
{{- $wrong = append $wrong "kafka.tls.enabled is false, but Secrets for TLS are named: set it to true, or remove them" -}}
{{- end -}}
{{- end -}}
{{- range $section := list "properties" "consumer" "producer" -}}
{{- range $name, $_ := get $values.kafka $section -}}
{{- if regexMatch "(password|secret|\\.pem)$" $name -}}
{{- $wrong = append $wrong (printf "kafka.%s holds %s, which would stand readable in a ConfigMap: put it into a Secret and name that in kafka.secretProperties" $section $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.enabled is true and ingress.hosts is empty: name at least one host" -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "httpRoute.enabled is true and httpRoute.parentRefs is empty: name the Gateway" -}}
{{- end -}}
{{- if and $values.monitoring.serviceMonitor.enabled $values.monitoring.podMonitor.enabled -}}
{{- $wrong = append $wrong "monitoring.serviceMonitor and monitoring.podMonitor are both enabled: every series would be there twice" -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
