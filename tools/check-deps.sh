#!/usr/bin/env bash
# The dependencies of the Rust workspace: each direct one has its reason in deny.toml, and cargo-deny is content with the
# licences, bans and sources of all of them.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

unexplained=0
while read -r name; do
  if ! grep -q "^#   $name: .* · without it: " deny.toml; then
    say "$name is a dependency in Cargo.toml, but deny.toml does not say what it does for us and what we would do without it"
    unexplained=1
  fi
done < <(awk '/^\[/ {inside = ($0 == "[workspace.dependencies]")} inside && /^[a-z]/ && !/path *=/ {print $1}' Cargo.toml)
((unexplained == 0)) || exit 1

command -v cargo-deny >/dev/null || die "cargo-deny is not installed: run tools/install-test-deps.sh"
# Advisories need a database from the network, so they are asked for apart: cargo deny check advisories.
cargo-deny --locked check --hide-inclusion-graph licenses bans sources
