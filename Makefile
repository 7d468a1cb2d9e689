# Loom's verbs. Each installs what it needs the first time and says nothing about it afterwards.

ARCH := $(shell uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
NODE_BIN := .tools/node_modules/node-linux-$(ARCH)/bin

# Node 22.18 and later run TypeScript as it is, and say so.
NODE_READY := $(shell node -e 'process.exit(process.features.typescript ? 0 : 1)' 2>/dev/null && echo yes)
ifeq ($(NODE_READY),yes)
node :=
else
node := $(NODE_BIN)/node
export PATH := $(CURDIR)/$(NODE_BIN):$(PATH)
endif

INSTALLED := node_modules/.loom-installed
MANIFESTS := package.json .npmrc $(wildcard shared/package.json services/*/package.json)

.DEFAULT_GOAL := help
.PHONY: help up down test users check demo bench faults fuzz soak phoenix collector containers install uninstall redis

help: ## List the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || sed -n 's/^\([a-z]*\):.*## /make \1  /p' Makefile

up: $(INSTALLED) $(if $(REDIS_URL),,redis) ## Run Redis and all services in the foreground; Ctrl-C drains
	@exec node deploy/up.ts $(if $(WATCHERS),--scale transcript-watcher=$(WATCHERS)) $(ARGS)

down: $(INSTALLED) ## End what `make up` runs elsewhere or left behind
	@exec node deploy/down.ts $(ARGS)

test: $(INSTALLED) redis ## Run every test, on a real Redis; ARGS go to jest
	@npm test --silent -- $(ARGS)

users: $(INSTALLED) redis ## Run the tests of the whole stack with each service as its own user of Redis
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && node deploy/redis/acl.ts --folder "$$folder" && \
	  LOOM_TEST_USERS=$$folder npm test --silent -- $(or $(ARGS),e2e)

check: $(INSTALLED) ## Types, lint, format, unused code
	@npm run check --silent

demo: $(INSTALLED) redis ## Show a canned conversation through the whole stack; no key needed
	@exec node deploy/demo/main.ts $(ARGS)

bench: $(INSTALLED) redis ## Measure Loom against a bare proxy and say which goals it meets; ARGS=--help
	@exec node deploy/bench/main.ts $(ARGS)

faults: $(INSTALLED) redis ## Let every fault happen under load; say what the client noticed and what was lost
	@exec node deploy/faults/main.ts $(ARGS)

fuzz: $(INSTALLED) redis ## Hold every law of the tests to random cases for MINUTES (5); ARGS: --seed, words of a file's path
	@exec node deploy/fuzz/main.ts --minutes '$(or $(MINUTES),5)' $(ARGS)

soak: $(INSTALLED) redis ## Let the whole stack work for MINUTES (30) and say what grew; a chart and the README from 10 on
	@exec node deploy/soak/main.ts --minutes '$(or $(MINUTES),30)' $(ARGS)

phoenix: $(INSTALLED) redis ## Show a conversation in a real Phoenix and check what it shows
	@exec node deploy/phoenix.ts $(ARGS)

collector: $(INSTALLED) redis ## Send a conversation through a real OpenTelemetry Collector; say what went where
	@exec node deploy/collector.ts $(ARGS)

containers: $(INSTALLED) ## Build every image, run the compose stack, scale it, swap a rewriter; needs Docker or Podman
	@exec node deploy/container-check.ts $(ARGS)

PREFIX ?= /usr/local

install: $(INSTALLED) redis ## Run Loom as systemd services from now on, without Docker
	@exec node deploy/install.ts --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

uninstall: $(INSTALLED) ## Undo make install; PURGE=1 also removes settings and data
	@exec node deploy/uninstall.ts --prefix '$(PREFIX)' --destdir '$(DESTDIR)' $(if $(PURGE),--purge)

redis:
	@command -v redis-server >/dev/null || sh deploy/redis/install.sh

# The visible root holds no lock file; npm wants it there, so it gets a copy that git ignores. Not `npm ci`: it refuses
# a lock file that lacks optional packages of other platforms, and a registry need not have those.
$(INSTALLED): deploy/package-lock.json $(MANIFESTS) | $(node)
	@command -v npm >/dev/null || { echo 'npm is missing: install Node 24 (or any Node with npm) and run make again' >&2; exit 1; }
	@echo 'installing packages: a minute or two, the first time' >&2
	@cp deploy/package-lock.json package-lock.json
	@npm install --no-progress --loglevel=error >/dev/null
	@touch $@

$(NODE_BIN)/node:
	@case $(ARCH) in x64|arm64) ;; *) echo 'Loom needs a 64-bit system (x86_64 or aarch64), this one is $(ARCH); on a Raspberry Pi install the 64-bit OS' >&2; exit 1 ;; esac
	@command -v npm >/dev/null || { echo 'Node 22.18 or later is missing, and so is npm to fetch it: install Node 24, or the package npm, and run make again' >&2; exit 1; }
	@echo 'fetching Node 24 into .tools/' >&2
	@npm install --prefix .tools --no-save --no-package-lock --no-progress --loglevel=error node-linux-$(ARCH)@24 >/dev/null
