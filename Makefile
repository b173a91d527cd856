# `make verify` changes nothing, `make fix` does. CI runs these same recipes (.ci/run).

CARGO ?= cargo

.PHONY: help verify fix test examples bench-drain bench-latency bench-idle fmt clippy doc deny deny-advisories logs links

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20

verify: fmt links logs deny clippy doc ## everything that is checked without running Sluice

fix: ## format, and do what clippy can do by itself
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

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
