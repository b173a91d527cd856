{{/*
What a schema cannot say, because it is about several values or needs more words: all that is wrong
at once, a sentence each.
*/}}
{{- define "sluice.validate" -}}
{{- $wrong := list -}}
{{- /* What no second sentence is to be about. */ -}}
{{- $bad := dict -}}
{{- $values := .Values -}}

{{- /* Key, value, what it looks like, in words. An empty text stands for the default. */ -}}
{{- $duration := "^([0-9]{1,9} *(ms|s|m|min|h|d|days?) *)+$" -}}
{{- $aDuration := "a duration with its unit, such as 500ms, 25s or 10min" -}}
{{- $aSize := "a size with its unit, such as 16MiB" -}}
{{- $interval := "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" -}}
{{- $anInterval := "a duration as Prometheus writes it, such as 15s or 1m30s" -}}
{{- $object := "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" -}}
{{- $anObject := "a name as Kubernetes takes it: lower case letters, digits, hyphens and dots" -}}
{{- $host := "^([*][.])?([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])*[a-z]([a-z0-9-]*[a-z0-9])?$" -}}
{{- $aHost := "the name of a host alone, such as sluice.example or *.example" -}}
{{- $port := "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})" -}}
{{- $level := "(?i:error|warn|info|debug|trace|off|[0-5])" -}}
{{- $filter := printf "^(([A-Za-z0-9_:-]+=)?%s|[A-Za-z0-9_:-]+(=%s)?(,[A-Za-z0-9_:-]+(=%s)?)+|.*\\[.*)$" $level $level $level -}}
{{- $texts := list
  (list "cluster.id" $values.cluster.id "^[A-Za-z0-9._-]{1,253}$" "1 to 253 of A-Z a-z 0-9 . _ -")
  (list "cluster.domain" $values.cluster.domain "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$" "a domain name, such as cluster.local")
  (list "cluster.secretKey" $values.cluster.secretKey "^[A-Za-z0-9._-]+$" "the name of a key in a Secret")
  (list "image.repository" $values.image.repository "^(([A-Za-z0-9.-]+|\\[[0-9a-fA-F:]+\\])(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" "the name of an image without its tag, such as registry.example/sluice")
  (list "image.tag" $values.image.tag "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$" "1 to 128 of A-Z a-z 0-9 . _ -, no . or - first")
  (list "image.digest" $values.image.digest "^sha256:[0-9a-f]{64}$" "sha256: and 64 hexadecimal digits")
  (list "nameOverride" $values.nameOverride "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" "lower case letters, digits and hyphens, no hyphen first or last")
  (list "fullnameOverride" $values.fullnameOverride "^[a-z]([a-z0-9-]*[a-z0-9])?$" "lower case letters, digits and hyphens, a letter first")
  (list "persistence.size" $values.persistence.size "^[0-9]{1,9}([.][0-9]{1,9})?(Mi|Gi|Ti|M|G|T)$" "a size as Kubernetes writes it, such as 1Gi")
  (list "persistence.storageClass" $values.persistence.storageClass $object $anObject)
  (list "priorityClassName" $values.priorityClassName $object $anObject)
  (list "serviceAccount.name" $values.serviceAccount.name $object $anObject)
  (list "ingress.className" $values.ingress.className $object $anObject)
  (list "cluster.existingSecret" $values.cluster.existingSecret $object $anObject)
  (list "kafka.sasl.existingSecret" $values.kafka.sasl.existingSecret $object $anObject)
  (list "kafka.tls.caSecret" $values.kafka.tls.caSecret $object $anObject)
  (list "kafka.tls.clientSecret" $values.kafka.tls.clientSecret $object $anObject)
  (list "schemaRegistry.basicSecret" $values.schemaRegistry.basicSecret $object $anObject)
  (list "schemaRegistry.tokenSecret" $values.schemaRegistry.tokenSecret $object $anObject)
  (list "schemaRegistry.caSecret" $values.schemaRegistry.caSecret $object $anObject)
  (list "log.filter" $values.log.filter $filter "a level (error, warn, info, debug, trace or off), or a filter by module without spaces, such as info,sluice_actors=debug")
  (list "monitoring.serviceMonitor.interval" $values.monitoring.serviceMonitor.interval $interval $anInterval)
  (list "monitoring.podMonitor.interval" $values.monitoring.podMonitor.interval $interval $anInterval)
-}}
{{- range $section := list "http" "cluster" "schema_registry" "limits" "drain" -}}
{{- range $key, $value := get $values.config $section -}}
{{- $name := printf "config.%s.%s" $section $key -}}
{{- if not (kindIs "string" $value) -}}
{{- /* A number: the schema says which ones there may be. */ -}}
{{- else if hasSuffix "_bytes" $key -}}
{{- $texts = append $texts (list $name $value "^[0-9]{1,15} *([KMGTP]i?)?B$" $aSize) -}}
{{- else -}}
{{- $texts = append $texts (list $name $value $duration $aDuration) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.kafka.bootstrapServers -}}
{{- $texts = append $texts (list "kafka.bootstrapServers" . (printf "^([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\]):%s$" $port) "a host with its port, such as kafka-0.kafka:9092") -}}
{{- end -}}
{{- range $values.ingress.hosts -}}
{{- $texts = append $texts (list "ingress.hosts" . $host $aHost) -}}
{{- end -}}
{{- range $values.httpRoute.hostnames -}}
{{- $texts = append $texts (list "httpRoute.hostnames" . $host $aHost) -}}
{{- end -}}
{{- range $text := $texts -}}
{{- if and (index $text 1) (not (regexMatch (index $text 2) (index $text 1))) -}}
{{- $wrong = append $wrong (printf "%s is %q and must be %s" (index $text 0) (index $text 1) (index $text 3)) -}}
{{- $_ := set $bad (index $text 0) true -}}
{{- end -}}
{{- end -}}

{{- /* The least and the most, as in docs/configuration.md. */ -}}
{{- $bounds := dict
  "http.keep_alive" (list "1s" "1h")
  "http.header_timeout" (list "1s" "5min")
  "cluster.reserve_bytes" (list "1MiB" "1PiB")
  "cluster.lease" (list "2881ms" "365days")
  "cluster.death_after" (list "100ms" "365days")
  "cluster.forget_after" (list "100ms" "365days")
  "schema_registry.timeout" (list "100ms" "25s")
  "schema_registry.latest_ttl" (list "1s" "1h")
  "limits.body_bytes" (list "1KiB" "1GiB")
  "limits.record_bytes" (list "1KiB" "512MiB")
  "limits.produce_buffer_bytes" (list "1MiB" "1TiB")
  "limits.async_result_bytes" (list "64KiB" "1TiB")
  "limits.inflight_answer_bytes" (list "1MiB" "1TiB")
  "drain.linger" (list "0s" "10min")
  "drain.timeout" (list "1s" "10min")
-}}
{{- range $key, $ends := $bounds -}}
{{- $parts := splitList "." $key -}}
{{- $value := dig (first $parts) (last $parts) "" $values.config -}}
{{- $name := printf "config.%s" $key -}}
{{- $measure := hasSuffix "_bytes" $key | ternary "sluice.bytes" "sluice.milliseconds" -}}
{{- if and (not (eq (toString $value) "")) (not (hasKey $bad $name)) -}}
{{- $is := include $measure $value | int64 -}}
{{- if or (lt $is (include $measure (first $ends) | int64)) (gt $is (include $measure (last $ends) | int64)) -}}
{{- $shown := kindIs "string" $value | ternary (toString $value | quote) (toString $is) -}}
{{- $wrong = append $wrong (printf "%s is %s and must be from %s to %s" $name $shown (first $ends) (last $ends)) -}}
{{- $_ := set $bad $name true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (or (hasKey $bad "persistence.size") (hasKey $bad "config.cluster.reserve_bytes")) -}}
{{- $reserve := dig "reserve_bytes" "64MiB" $values.config.cluster -}}
{{- if le (include "sluice.bytes" $values.persistence.size | int64) (include "sluice.bytes" $reserve | int64) -}}
{{- $wrong = append $wrong (printf "persistence.size is %s and must be more than config.cluster.reserve_bytes, %s: no node would be ready" $values.persistence.size (kindIs "string" $reserve | ternary $reserve (include "sluice.bytes" $reserve))) -}}
{{- end -}}
{{- end -}}

{{- $fullname := include "sluice.fullname" . -}}
{{- if not (or (hasKey $bad "nameOverride") (hasKey $bad "fullnameOverride") (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $fullname)) -}}
{{- $wrong = append $wrong (printf "the release %q makes %q the name of its Services, which must be lower case letters, digits and hyphens, a letter first: choose another release name, or set fullnameOverride" .Release.Name $fullname) -}}
{{- end -}}

{{- if not $values.kafka.bootstrapServers -}}
{{- $wrong = append $wrong "kafka.bootstrapServers is empty: name at least one broker, as in --set kafka.bootstrapServers={kafka-0.kafka:9092}" -}}
{{- end -}}

{{- $lease := dig "lease" "3s" $values.config.cluster -}}
{{- $death := dig "death_after" "5s" $values.config.cluster -}}
{{- $areTimes := not (or (hasKey $bad "config.cluster.lease") (hasKey $bad "config.cluster.death_after")) -}}
{{- if and $areTimes (le (include "sluice.milliseconds" $death | int) (include "sluice.milliseconds" $lease | int)) -}}
{{- $wrong = append $wrong (printf "config.cluster.death_after is %s and must be longer than config.cluster.lease, %s" $death $lease) -}}
{{- end -}}

{{- $timeout := $values.config.drain.timeout -}}
{{- $linger := $values.config.drain.linger -}}
{{- $isTime := not (hasKey $bad "config.drain.timeout") -}}
{{- if and $isTime (not (hasKey $bad "config.drain.linger")) (ge (include "sluice.milliseconds" $linger | int) (include "sluice.milliseconds" $timeout | int)) -}}
{{- $wrong = append $wrong (printf "config.drain.linger is %s and must be shorter than config.drain.timeout, %s, which is for all of the drain" $linger $timeout) -}}
{{- end -}}
{{- $needed := add (include "sluice.preStopSeconds" . | int) (div (add (include "sluice.milliseconds" $timeout | int) 999) 1000) -}}
{{- if and $isTime $values.terminationGracePeriodSeconds (le (int $values.terminationGracePeriodSeconds) (int $needed)) -}}
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
{{- $owned := include "sluice.ownedProperties" . | fromYaml -}}
{{- range $section, $kinds := dict
  "properties" (list "consumer" "producer")
  "secretProperties" (list "consumer" "producer")
  "consumer" (list "consumer")
  "producer" (list "producer")
-}}
{{- range $property, $_ := get $values.kafka $section -}}
{{- range $reason := list (dig (first $kinds) $property "" $owned) (dig (last $kinds) $property "" $owned) | compact | uniq -}}
{{- $wrong = append $wrong (printf "kafka.%s holds %s, which may not be set: it %s" $section $property $reason) -}}
{{- end -}}
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

{{- /* A second member of one name would win, and a selector miss its pods. */ -}}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- $others := concat $ours (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") -}}
{{- range $labels := list
  (list "podLabels" $values.podLabels (append $ours "app.kubernetes.io/component"))
  (list "podAnnotations" $values.podAnnotations (list "checksum/config" "kubectl.kubernetes.io/default-container"))
  (list "monitoring.serviceMonitor.labels" $values.monitoring.serviceMonitor.labels $others)
  (list "monitoring.podMonitor.labels" $values.monitoring.podMonitor.labels $others)
  (list "monitoring.prometheusRule.labels" $values.monitoring.prometheusRule.labels $others)
  (list "monitoring.dashboard.labels" $values.monitoring.dashboard.labels $others)
-}}
{{- range $key, $_ := index $labels 1 -}}
{{- if has $key (index $labels 2) -}}
{{- $wrong = append $wrong (printf "%s holds %s, which the chart sets itself: choose another name" (index $labels 0) $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* What a node sets itself, by whose property it is, as in docs/configuration.md. */}}
{{- define "sluice.ownedProperties" -}}
consumer:
  bootstrap.servers: "is kafka.bootstrap_servers"
  metadata.broker.list: "is kafka.bootstrap_servers"
  group.id: "is the session's group_id"
  group.instance.id: "is the session's consumer_id"
  group.protocol: "must stay classic: sessions are taken over as static members"
  group.remote.assignor: "belongs to another group protocol than the sessions'"
  partition.assignment.strategy: "is kafka.assignment_strategy, and the session's assignment_strategy"
  client.id: "is the session's client_id"
  isolation.level: "is the session's isolation_level"
  enable.auto.commit: "is the session's auto_commit, which commits what the client has"
  auto.commit.enable: "is the session's auto_commit, which commits what the client has"
  auto.commit.interval.ms: "is the session's auto_commit_interval_ms"
  enable.auto.offset.store: "must stay off: a record read ahead is not yet delivered"
  auto.offset.reset: "is the session's auto_offset_reset"
  enable.partition.eof: "must stay off: the end of a partition is not an event here"
  allow.auto.create.topics: "must stay off: reading must not create a topic"
  offset.store.method: "must stay the broker: another node has to find the offsets"
producer:
  bootstrap.servers: "is kafka.bootstrap_servers"
  metadata.broker.list: "is kafka.bootstrap_servers"
  acks: "must stay all: an answer says that the record is safe"
  request.required.acks: "must stay all: an answer says that the record is safe"
  enable.idempotence: "must stay on: a retry must not write twice"
  compression.codec: "is the request's compression"
  compression.type: "is the request's compression"
  transactional.id: "would make one producer of all requests fence another"
{{- end -}}
