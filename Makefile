# `make` lists the targets. Each is two lines at most; the logic is in scripts/ and in the binary.
.DEFAULT_GOAL := help
.PHONY: help build test lint fmt docs quickstart cluster-up cluster-down cluster-start cluster-add deps fuzz interop bench measure rivals-up rivals-down drill drill-table sim sim-planted cost cost-accept
export EDGES ROUTERS ID ROLE FUZZ_SECONDS SCENARIO SEED SEEDS FIRST RUNS RIVAL ARCHIVE GC SERVERS TLS SCENARIOS

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-14s %s\n", $$1, $$2 }'

build: ## build the release binary, target/release/dunlin
	@scripts/deps build && cargo build --release --package dunlin

test: ## run every check that a change must pass, and print counts
	@scripts/test

lint: ## check formatting and lints; warnings are errors
	@cargo fmt --all --check && cargo clippy --workspace --all-targets --quiet -- --deny warnings

fmt: ## format the Rust code
	@cargo fmt --all

docs: ## rewrite the generated documents and build the API documentation
	@cargo run --quiet --package dunlin -- docs && cargo doc --workspace --no-deps --quiet

quickstart: ## build, then run a server with two accounts that a real client can log in to
	@scripts/deps build && cargo build --release --package dunlin && exec target/release/dunlin demo

cluster-up: ## start databases and EDGES=2 edges, ROUTERS=2 routers on this machine
	@scripts/cluster up

cluster-down: ## end exactly the processes that cluster-up started
	@scripts/cluster down

cluster-start: ## start a killed node again: ID=edge-1
	@scripts/cluster start

cluster-add: ## add one node: ROLE=router, ROLE=edge or ROLE=all
	@scripts/cluster add

deps: ## install what the build and the tests need (Debian)
	@scripts/deps

fuzz: ## run every fuzz target for FUZZ_SECONDS=60 seconds
	@cargo test --release --workspace fuzz_ -- --nocapture --test-threads=1

sim: ## run SEEDS=1000 simulated clusters, or the one of SEED=17 with its log
	@scripts/sim

sim-planted: ## plant bugs in a copy of the source: the simulation must find them
	@scripts/sim-planted

cost: ## count the instructions of the hottest ways; more than before by 5 % fails (docs/performance.md)
	@scripts/deps && cargo run --quiet --profile cost --package dunlin-cost -- check

cost-accept: ## write the counts of now to tests/cost/counts.toml
	@scripts/deps && cargo run --quiet --profile cost --package dunlin-cost -- accept

interop: ## real clients against a demo server and a local cluster
	@scripts/deps && tests/interop/run

rivals-up: ## start another server to compare with: RIVAL=ejabberd, ejabberd-cluster or prosody; ARCHIVE=bare, off or on
	@scripts/rivals up

rivals-down: ## end exactly the processes that rivals-up started
	@scripts/rivals down

bench: ## measure Dunlin and its rivals: SERVERS=… TLS="plain tls" ARCHIVE="bare off on" SCENARIOS="chat half presence" RUNS=3 (docs/performance.md)
	@scripts/deps build && cargo build --release -p dunlin -p dunlin-loadtest && scripts/bench run

measure: ## measure CPU, memory and latency of a release server alone
	@cargo build --release -p dunlin && cargo run --release -p dunlin-testkit --example measure

drill: ## fail everything under traffic: SCENARIO=all SEED=… RUNS=1 (docs/reliability.md says how to read it)
	@cargo build --package dunlin && SCENARIO=$${SCENARIO:-all} cargo test --workspace --test drill -- --nocapture drill

drill-table: ## write the table of docs/reliability.md from the results in target/drill
	@TABLE=1 cargo test --quiet --workspace --test drill -- drill
