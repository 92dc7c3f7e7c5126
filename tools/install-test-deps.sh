#!/usr/bin/env bash
# Installs what `make test` and `make bench` need beyond Rust, git, make and a C compiler, and says what and why.
#
# From Debian or Ubuntu: PostgreSQL's server, OpenDKIM, Postfix, Dovecot, SpamAssassin, rspamd, Pebble, nginx with ModSecurity,
# slowhttptest, h2load, wrk, Chromium without a window (on Ubuntu, which has it as a snap only, bring one along), Python's venv module, Node.js. Nothing it installs is started, and a mail server that is already there is never replaced. Everything
# else goes into .deps/ in this checkout: remove that folder to start again. When nothing is missing it only looks, in well under
# three seconds.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

POSTGRES_MAJOR_MIN=15   # the store relies on behaviour that 14 does not have
NODE_MAJOR_MIN=18       # what Debian 12 ships
PYTHON_MIN=3.11         # what tools/requirements.txt was resolved for, and what Debian 12 ships
CARGO_DENY_VERSION=0.20.2

apt_missing=()          # packages to install
service_units=()        # of those, the ones that bring a service

main() {
  require_toolchain
  find_missing_packages
  if ((${#apt_missing[@]})); then install_packages; fi
  unpack_exim
  # What was just installed may lie in a folder that was not there when the paths were set.
  source "$ROOT/tools/paths.sh"
  check_versions
  install_python_packages
  install_node_packages
  install_cargo_deny
  if [[ ${1-} == peers ]]; then install_haraka; fi
}

# What the reader brings along. Fetching a toolchain behind their back would be worse than asking.
require_toolchain() {
  local tool
  for tool in cargo cc make git; do
    command -v "$tool" >/dev/null || die "$tool is not installed; Rust (with cargo), git, make and a C compiler are the prerequisites"
  done
  # A minimal Rust leaves these two out; they belong to the toolchain that is there.
  for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null || die "cargo $tool is missing: install the rustfmt and clippy of your Rust"
    say "missing: cargo $tool, part of the checks before every test; asking rustup for it"
    rustup component add "${tool/fmt/rustfmt}"
  done
}

need() { # need PACKAGE WHY [UNIT]
  say "missing: $1, $2"
  apt_missing+=("$1")
  if (($# > 2)); then service_units+=("$3"); fi
}

find_missing_packages() {
  command -v initdb >/dev/null || need postgresql "the second engine: the tests start private servers from its binaries" postgresql
  command -v opendkim >/dev/null || need opendkim "one of three independent DKIM verifiers, and the signer of the benchmark's peer" opendkim
  command -v opendkim-testkey >/dev/null || need opendkim-tools "OpenDKIM's own check of keys and records"
  command -v smtp-sink >/dev/null || need postfix "smtp-sink is a real SMTP receiver for the tests; Postfix is the benchmark's peer" postfix
  command -v pebble >/dev/null || need pebble "an ACME certificate authority, for the tests of certificates"
  command -v knotd >/dev/null || need knot "an authoritative name server: serves the zone files that we write" knot
  command -v kdig >/dev/null || need knot-dnsutils "asks name servers, and sees what they prove"
  command -v unbound >/dev/null || need unbound "a resolver that passes proofs on, for the tests of DANE" unbound
  [[ -x /usr/lib/dovecot/lmtp ]] || need dovecot-lmtpd "a mail store: keeps what the MX farm's Postfix hands on by LMTP" dovecot
  command -v spamassassin >/dev/null || need spamassassin "one of two spam filters that score the mail which we write ourselves" \
    spamassassin-maintenance.timer
  command -v rspamd >/dev/null || need rspamd "the other one" rspamd
  command -v nginx >/dev/null || need nginx "carries the firewall of deploy/waf" nginx
  [[ -e /usr/lib/nginx/modules/ngx_http_modsecurity_module.so ]] || need libnginx-mod-http-modsecurity "ModSecurity inside nginx"
  [[ -d /usr/share/modsecurity-crs/rules ]] || need modsecurity-crs "the OWASP Core Rule Set"
  command -v faketime >/dev/null || need faketime "makes keys and domains of eighty days ago"
  command -v slowhttptest >/dev/null || need slowhttptest "slow clients of four kinds, against the deadlines of connections"
  command -v h2load >/dev/null || need nghttp2-client "h2load: load over HTTP/2 for bench/http.sh"
  command -v wrk >/dev/null || need wrk "load over HTTP/1.1 for bench/http.sh"
  find_chromium >/dev/null || need chromium-headless-shell "pages in a real browser call the API, or may not"
  # Debian ships the venv module without the pip it copies; ensurepip is the part that is missing then.
  python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv "a private folder for what tools/requirements.txt lists"
  command -v ip >/dev/null || need iproute2 "a cable between two network namespaces shows that test mail stays; needs root when it runs"
  command -v node >/dev/null || need nodejs "the SDK's tests, mailauth and standardwebhooks"
  command -v npm >/dev/null || need npm "installs the SDK's and the verifiers' packages"
}

as_root() {
  if (($(id -u) == 0)); then
    "$@"
  else
    command -v sudo >/dev/null || die "not root and no sudo: run as root, once: apt-get install ${apt_missing[*]}"
    sudo "$@"
  fi
}

install_packages() {
  command -v apt-get >/dev/null || die "this is not Debian or Ubuntu; install these by hand and run again: ${apt_missing[*]}"
  say "reading the package lists"
  as_root apt-get update -qq
  keep_other_mail_server
  ((${#apt_missing[@]})) || return 0
  say "installing ${apt_missing[*]}"
  # Postfix without a configuration cannot start, which is what we want: only its programs are used.
  if [[ " ${apt_missing[*]} " == *" postfix "* ]]; then
    echo "postfix postfix/main_mailer_type select No configuration" | as_root debconf-set-selections
  fi
  forbid_service_starts
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${apt_missing[@]}"
  allow_service_starts
  keep_services_off
}

# Postfix conflicts with every other mail server, so apt would remove the reader's. Its programs are unpacked into .deps
# then: smtp-sink works from there, only the benchmark's peer needs a real installation.
keep_other_mail_server() {
  [[ " ${apt_missing[*]} " == *" postfix "* ]] || return 0
  local removed
  removed=$(apt-get -s install --no-install-recommends postfix | awk '/^Remv/ {print $2}' | tr '\n' ' ')
  [[ -n $removed ]] || return 0
  say "installing postfix would remove $removed; unpacking its programs into .deps instead"
  unpack_postfix
  local rest=() package
  for package in "${apt_missing[@]}"; do [[ $package == postfix ]] || rest+=("$package"); done
  apt_missing=("${rest[@]}")
}

unpack_postfix() {
  local into=$DEPS/postfix tool
  mkdir -p "$into" "$DEPS/bin"
  (cd "$into" && apt-get download -q postfix && dpkg -x postfix_*.deb . && rm postfix_*.deb)
  for tool in smtp-sink smtp-source; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$into/usr/lib/postfix" "$into/usr/sbin/$tool" >"$DEPS/bin/$tool"
    chmod 755 "$DEPS/bin/$tool"
    # Without an installation its libraries are not brought along; the loader names the first one that is missing.
    "$DEPS/bin/$tool" 2>&1 | grep usage >/dev/null || die "$tool does not run: $("$DEPS/bin/$tool" 2>&1 | head -1)"
  done
}

# Exim is the MX farm's other receiver. It and Postfix can't be installed beside each other, so its program is always unpacked; the
# libraries that it asks for are installed.
unpack_exim() {
  local into=$DEPS/exim program=$DEPS/exim/usr/sbin/exim4 libraries
  if [[ -x $program ]] && [[ $(ldd "$program") != *"not found"* ]]; then return 0; fi
  say "unpacking Exim into .deps/exim: a real SMTP receiver for the MX farm"
  rm -rf "$into"
  mkdir -p "$into"
  as_root apt-get update -qq
  (cd "$into" && apt-get download -q exim4-daemon-light && dpkg -x exim4-daemon-light_*.deb .)
  libraries=$(dpkg-deb -f "$into"/exim4-daemon-light_*.deb Depends | tr ',' '\n' | awk '$1 ~ /^lib/ {print $1}')
  rm "$into"/exim4-daemon-light_*.deb
  # shellcheck disable=SC2086  # one word for each library
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $libraries
  [[ $(ldd "$program") != *"not found"* ]] || die "Exim does not run: $(ldd "$program" | grep "not found")"
}

# Debian's own switch for "install, but start nothing". A machine that already has one keeps it.
POLICY=/usr/sbin/policy-rc.d
policy_is_ours=
forbid_service_starts() {
  [[ ! -e $POLICY ]] || return 0
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
  policy_is_ours=yes
  trap allow_service_starts EXIT
}
allow_service_starts() {
  [[ -n $policy_is_ours ]] || return 0
  as_root rm -f "$POLICY"
  policy_is_ours=
}

# The next boot would start them all the same.
keep_services_off() {
  [[ -d /run/systemd/system ]] || return 0
  local unit
  for unit in "${service_units[@]}"; do
    as_root systemctl disable -q "$unit" 2>/dev/null || say "$unit has no unit to switch off"
  done
  say "left switched off: ${service_units[*]:-nothing} (the tests start their own)"
}

check_versions() {
  local major
  major=$(postgres --version | grep -oE '[0-9]+' | head -1)
  ((major >= POSTGRES_MAJOR_MIN)) || die "PostgreSQL $major found, $POSTGRES_MAJOR_MIN or newer is needed"
  python3 -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$PYTHON_MIN'.split('.'))))" \
    || die "$(python3 --version) found, $PYTHON_MIN or newer is needed"
  major=$(node -p 'process.versions.node.split(".")[0]')
  ((major >= NODE_MAJOR_MIN)) || die "Node.js $major found, $NODE_MAJOR_MIN or newer is needed"
}

# A stamp holds the checksum of what an installation was made from: it is redone when that changes, and only then.
is_current() { # is_current STAMP FILE…
  local stamp=$1
  shift
  [[ -f $stamp && $(cat "$@" | sha256sum) == "$(<"$stamp")" ]]
}
mark_current() {
  local stamp=$1
  shift
  cat "$@" | sha256sum >"$stamp"
}

install_python_packages() {
  local wanted=$ROOT/tools/requirements.txt
  # A venv is tied to its interpreter: after an upgrade of Python it no longer starts.
  if is_current "$VENV/.stamp" "$wanted" && "$VENV/bin/python" -c 'import dkim' 2>/dev/null; then return 0; fi
  say "installing into .deps/venv: dkimpy (DKIM verifier), aiosmtpd (SMTP receiver), standardwebhooks (webhook verifier)," \
    "schemathesis (OpenAPI), sslyze and pyOpenSSL (TLS), h2 (HTTP/2)"
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$wanted"
  mark_current "$VENV/.stamp" "$wanted"
}

install_node_packages() {
  local from=$ROOT/tools/node
  local files=("$from/package.json" "$from/package-lock.json" "$from/.npmrc")
  if is_current "$NODE_DEPS/.stamp" "${files[@]}"; then return 0; fi
  say "installing into .deps/node: mailauth (DKIM verifier), standardwebhooks (webhook verifier)"
  rm -rf "$NODE_DEPS"
  mkdir -p "$NODE_DEPS"
  cp "${files[@]}" "$NODE_DEPS/"
  # None of these packages needs a script of its own to run at installation.
  (cd "$NODE_DEPS" && npm ci --silent --ignore-scripts --no-audit --no-fund)
  mark_current "$NODE_DEPS/.stamp" "${files[@]}"
}

install_haraka() {
  local from=$ROOT/bench/peer/haraka into=$DEPS/haraka
  local files=("$from/package.json" "$from/package-lock.json" "$from/.npmrc")
  if is_current "$into/.stamp" "${files[@]}"; then return 0; fi
  say "installing into .deps/haraka: a mail server that the benchmark is held against"
  rm -rf "$into"
  mkdir -p "$into"
  cp "${files[@]}" "$into/"
  # Most of its plugins are optional, and none of them is used.
  (cd "$into" && npm ci --silent --omit=optional --ignore-scripts --no-audit --no-fund)
  mark_current "$into/.stamp" "${files[@]}"
}

install_cargo_deny() {
  # One that the reader installed for all their projects is as good, if it is the version deny.toml was written for.
  if [[ $(cargo-deny --version 2>/dev/null) == "cargo-deny $CARGO_DENY_VERSION" ]]; then return 0; fi
  say "building cargo-deny $CARGO_DENY_VERSION into .deps/cargo (licences, bans and sources of our dependencies): several minutes, once"
  # Little optimisation and no debug information: it runs for a second, and building it fully takes three times as long.
  CARGO_TARGET_DIR=$DEPS/cargo-build CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=1 \
    cargo install cargo-deny --version "=$CARGO_DENY_VERSION" --locked --profile dev --quiet --root "$DEPS/cargo" \
    || die "cargo-deny could not be built: the dependency checks cannot run, so the tests stop here"
  rm -rf "$DEPS/cargo-build"
}

main "$@"
