# `make verify` changes nothing, `make fix` does. CI runs these same recipes (.ci/run).

CARGO ?= cargo
# Where the tools of the checks are put, and where cargo puts programs.
TOOLS := .cache/tools
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: help verify fix config-page test examples bench-drain bench-latency bench-idle bench-produce bench-failover bench-forward bench-subscribe bench-registry chart chart-config image-lint compose dashboards metrics balancer contract scale skew fmt clippy doc deny deny-advisories logs links

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20

verify: fmt links logs deny clippy doc ## everything that is checked without running Sluice

fix: ## format, and do what clippy can do by itself
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

config-page: ## docs/configuration.md anew, from the code
	UPDATE_EXPECT=1 $(CARGO) test -p sluice-node --lib config::tests::page

test: ## all tests; brings its own Kafka (Java 17 and Maven)
	$(CARGO) test --workspace --locked

examples: ## run docs/examples against a real Kafka (Python 3, Node 20, Go)
	docs/examples/run

bench-drain: ## how fast a topic is read, beside librdkafka; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench drain -- $(ARGS)

bench-latency: ## how late a record comes, beside librdkafka; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench latency -- $(ARGS)

bench-idle: ## what resting sessions cost, beside librdkafka; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench idle -- $(ARGS)

bench-failover: ## how long clients wait when a node ends; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench failover -- $(ARGS)

bench-forward: ## what asking another node than the owner costs; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench forward -- $(ARGS)

bench-subscribe: ## how many sessions a second come and go, beside librdkafka; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench subscribe -- $(ARGS)

bench-registry: ## what the registry takes of memory, and of time for a snapshot; numbers of sessions in ARGS
	$(CARGO) bench -p sluice-raft --locked --bench registry -- $(ARGS)

chart: $(TOOLS)/go $(TOOLS)/python ## the Helm chart: lint, unit tests, the schemas of Kubernetes (Go, Python)
	$(TOOLS)/python/bin/python .ci/check-chart $(ARGS)

chart-config: $(TOOLS)/go $(TOOLS)/python ## as chart, and the node judges the configuration files
	$(CARGO) build --release --locked
	$(TOOLS)/python/bin/python .ci/check-chart --node $(RELEASE)/sluice

image-lint: $(TOOLS)/python ## hadolint on the image's recipe
	$(TOOLS)/python/bin/hadolint --no-color --failure-threshold style deploy/Dockerfile

compose: $(TOOLS)/go $(TOOLS)/python ## deploy/compose.yaml and what it mounts
	$(TOOLS)/python/bin/python .ci/check-compose

dashboards: ## alerts and dashboard: queries, tests, runbook (Debian: prometheus)
	.ci/check-metrics

metrics: ## as dashboards, and a real Prometheus scrapes three nodes (Debian: prometheus)
	.ci/check-metrics --live

balancer: ## a node is drained and one killed behind a real haproxy (Debian: haproxy)
	.ci/check-balancer

skew: ## roll three nodes to this version from the last tagged one, or from FROM=commit
	.ci/check-skew $(FROM)

contract: $(TOOLS)/python ## both ports against their /openapi.json: schemathesis on three nodes
	$(TOOLS)/python/bin/python .ci/check-contract $(ARGS)

scale: ## nodes come, and go several at a time, as `kubectl scale` does it
	.ci/check-scale

# The tools of the checks, each at the version that .ci/tools says.
$(TOOLS)/go: .ci/tools/go.mod .ci/tools/go.sum .ci/tools/extensions/main.go
	cd .ci/tools && go build -o $(CURDIR)/$(TOOLS)/bin/ tool ./extensions
	touch $@

$(TOOLS)/python: .ci/tools/requirements.txt
	python3 -m venv --clear $@
	$@/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

bench-produce: ## how fast records are written, beside librdkafka; options in ARGS
	$(CARGO) bench -p sluice-tests --locked --bench produce -- $(ARGS)

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

deny: ## licences, dependency rules, sources (cargo install cargo-deny --locked)
	$(CARGO) deny --locked check bans licenses sources

deny-advisories: ## known vulnerabilities; fetches the advisory database
	$(CARGO) deny --locked check advisories

logs:
	.ci/check-logs

links:
	.ci/check-links
