# hogwatch. `make help` lists what there is to make.

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR    ?=

HOST       := $(or $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p'),$(shell uname -m)-unknown-linux-gnu)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BIN        := $(TARGET_DIR)/$(HOST)/release/hogwatch
# Static: nothing of the daemon is read from a library on disk when memory is short, and it installs on any distribution.
# --target keeps these flags away from procedural macros, which can't be static.
STATIC     := -C target-feature=+crt-static -C relocation-model=static

unitdir    := $(PREFIX)/lib/systemd/system
userdir    := $(PREFIX)/lib/systemd/user
sysusers   := $(PREFIX)/lib/sysusers.d
catalog    := $(PREFIX)/lib/systemd/catalog
docdir     := $(PREFIX)/share/doc/hogwatch
sharedir   := $(PREFIX)/share/hogwatch
units      := hogwatch.service hogwatch-dryrun.service hogwatch.slice

.PHONY: all build test lab lab-deps soak demo run bench install uninstall fmt clippy doc clean help

all: build

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done
	@echo 'Settings: PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'

build: ## The release binary, static
	@if command -v cargo >/dev/null; then \
	  RUSTFLAGS='$(STATIC)' cargo build --release --locked --target $(HOST) --bin hogwatch; \
	elif [ -x "$(BIN)" ]; then echo "cargo is not here: taking $(BIN) as it is"; \
	else echo "make: cargo is needed to build (https://rustup.rs)" >&2; exit 1; fi

demo: build ## The main job, for real and safely: an armed guard and a hog in a PID namespace of their own
	tests/demo.sh $(BIN)

run: build ## The guard on this machine, armed, in the foreground (DRY=1: it only looks)
	$(BIN) daemon $(if $(DRY),--dry-run)

test: build ## All tests; as root on Debian or Ubuntu it installs what they need (LAB=required: fail where the lab can't run)
	tests/prometheus/deps
	@tests/html/deps || [ "$(LAB)" != required ]
	HOGWATCH_BIN=$(abspath $(BIN)) LAB=$(LAB) cargo test --locked
	@tests/html/deps 2>/dev/null || echo 'LEFT OUT: the pages of incidents in a browser: Chromium is missing.'
	@if tests/lab/deps; then tests/lab/run; \
	elif [ "$(LAB)" = required ]; then exit 1; \
	else echo 'LEFT OUT: the lab (systemd, cgroups, journald, a stuck disk, in virtual machines), for the reason above.'; fi

lab: build lab-deps ## The lab alone; tests/lab/run --help for single scenarios
	tests/lab/run

lab-deps: ## Installs what the lab needs, or says what is missing
	tests/lab/deps

soak: build lab-deps ## The lab's long scenarios
	tests/lab/run --soak

bench: build ## Latency and idle cost, beside earlyoom where it is installed; see docs/benchmarks.md
	benches/run.sh $(BIN)

fmt: ## Formats the source
	cargo fmt --all

clippy: ## Lints, warnings denied
	cargo clippy --locked --all-targets -- -D warnings

doc: ## The API's documentation, warnings denied
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# With a BIN of the caller's own, nothing is built.
install: $(if $(filter command,$(origin BIN)),,build) ## Installs binary, units, configuration, documentation, alert rules, dashboard
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/hogwatch
	set -e; for unit in $(units); do \
	  sed 's|/usr/bin/hogwatch|$(PREFIX)/bin/hogwatch|g' systemd/$$unit | install -D -m 644 /dev/stdin $(DESTDIR)$(unitdir)/$$unit; done
	sed 's|/usr/bin/hogwatch|$(PREFIX)/bin/hogwatch|g' systemd/user/hogwatch.service \
	  | install -D -m 644 /dev/stdin $(DESTDIR)$(userdir)/hogwatch.service
	install -D -m 644 packaging/hogwatch.sysusers $(DESTDIR)$(sysusers)/hogwatch.conf
	install -D -m 644 packaging/catalog/hogwatch.catalog $(DESTDIR)$(catalog)/hogwatch.catalog
	install -D -m 644 -t $(DESTDIR)$(sharedir)/prometheus packaging/prometheus/hogwatch.rules.yml
	install -D -m 644 -t $(DESTDIR)$(sharedir)/grafana packaging/grafana/hogwatch.json
	install -D -m 644 -t $(DESTDIR)$(docdir) README.md ARCHITECTURE.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT docs/*.md
	install -D -m 644 config/hogwatch.toml $(DESTDIR)$(docdir)/hogwatch.toml
	@if [ -e $(DESTDIR)$(SYSCONFDIR)/hogwatch/hogwatch.toml ]; then \
	  echo "kept: $(DESTDIR)$(SYSCONFDIR)/hogwatch/hogwatch.toml (the shipped one is $(docdir)/hogwatch.toml)"; \
	else install -D -m 644 config/hogwatch.toml $(DESTDIR)$(SYSCONFDIR)/hogwatch/hogwatch.toml; fi
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
	  systemd-sysusers && journalctl --update-catalog && systemctl daemon-reload && \
	  echo 'Installed. To guard this machine from now on:  systemctl enable --now hogwatch'; fi

uninstall: ## Removes what install put there; configuration and state stay
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl disable --now hogwatch.service hogwatch-dryrun.service; fi
	rm -f $(DESTDIR)$(PREFIX)/bin/hogwatch $(addprefix $(DESTDIR)$(unitdir)/,$(units)) $(DESTDIR)$(userdir)/hogwatch.service \
	  $(DESTDIR)$(sysusers)/hogwatch.conf $(DESTDIR)$(catalog)/hogwatch.catalog
	rm -rf $(DESTDIR)$(docdir) $(DESTDIR)$(sharedir)
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

clean: ## Removes what was built, the lab's images too
	cargo clean
