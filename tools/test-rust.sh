#!/usr/bin/env bash
# The tests of the Rust workspace, on both engines. Tests that make something for others to verify leave it in the folder
# CROSS_CHECK_DIR, for cross-checks.sh.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

# What an earlier run left must not pass for what this one made. The name does not begin with SEALWRIGHT_, because the
# program refuses settings that it does not know, in its environment too.
export CROSS_CHECK_DIR=$TARGET/cross-checks
rm -rf "$CROSS_CHECK_DIR"
mkdir -p "$CROSS_CHECK_DIR"
cargo test --locked --workspace
