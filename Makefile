# The few verbs of this repository. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test check deny edge farm crash bench

help: ## list these verbs
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## build and start a development server: HTTPS on this machine, captured outbox, keys printed once
	cargo run --locked -p sealwright -- dev

test: ## install what the tests need, then everything: checks, Rust on both engines, SDK, browser, independent verifiers, firewall, edge, mail exchangers, crashes
	tools/install-test-deps.sh
	@$(MAKE) --no-print-directory check
	tools/test-rust.sh
	tools/test-sdk.sh
	tools/test-browser.sh
	tools/cross-checks.sh
	tools/test-waf.sh
	tools/test-edge.sh
	tools/test-farm.sh
	tools/test-crash.sh

check: deny ## formatting, lints, dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

deny: ## licences, bans and sources of the dependencies, and a reason for each of them
	tools/check-deps.sh

edge: ## judge the edge by tools of other makes: schemathesis, sslyze, slowhttptest, floods, smuggling, idle crowds
	tools/install-test-deps.sh
	tools/test-edge.sh

farm: ## send to Postfix, Exim, Dovecot and receivers that misbehave; smuggling both ways, spam filters (needs root)
	tools/install-test-deps.sh
	tools/test-farm.sh

crash: ## kill the server under load, CRASH_CYCLES times (200) on each engine, let PostgreSQL fail, and judge from outside what was lost
	tools/test-crash.sh

bench: ## measure accepting, delivering and webhooks on both engines, beside Postfix + OpenDKIM, Haraka and Exim (needs root for those)
	tools/install-test-deps.sh peers
	bench/run.sh
