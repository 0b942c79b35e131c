# Every job is one word. `make` alone lists them.
# Bun itself is a development dependency: npm (or a bun on the PATH) installs the pinned one below node_modules.

BUN := node_modules/.bin/bun
BIOME := node_modules/.bin/biome
STAMP := node_modules/.installed
VERSION := $(shell sed -n 's/.*"version": "\(.*\)".*/\1/p' package.json)
COMMIT := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
SOURCES := $(shell find src -name '*.ts' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: FORCE help build run test unit e2e sim canaries fuzz chaos check format bench bench-store bench-operations clean

help: ## List these targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(STAMP): package.json package-lock.json
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --loglevel=error; \
	elif command -v bun >/dev/null; then bun install --frozen-lockfile; \
	else echo 'Cannot install the dependencies: neither npm nor bun is on the PATH; install Node.js, which brings npm' >&2; exit 1; fi
	@$(BUN) --version >/dev/null 2>&1 || $$(command -v node || command -v bun) node_modules/bun/install.js
	@touch $@

# Keeps class and function names (--minify alone would not), halves the start-up (--bytecode), and reads no .env and
# no bunfig.toml of the folder it runs in.
dist/kvraft: $(STAMP) $(SOURCES) Makefile dist/.commit
	@mkdir -p dist
	$(BUN) build --compile --minify-whitespace --minify-syntax --sourcemap --bytecode --format=esm \
	  --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
	  --define process.env.NODE_ENV='"production"' --define KVRAFT_VERSION='"$(VERSION)"' \
	  --define KVRAFT_COMMIT='"$(COMMIT)"' --outfile $@ src/main.ts >/dev/null

# Changes only when the commit does, so that the binary names the right one and is not built for nothing.
dist/.commit: FORCE
	@mkdir -p dist
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' > $@

build: dist/kvraft ## Build the one binary, dist/kvraft

run: dist/kvraft ## Build, start a three-node cluster on this machine, and open a prompt on it
	@dist/kvraft dev

test: check unit e2e ## Everything that must pass: check, unit, e2e

unit: $(STAMP) ## Tests of the parts, in process, and the simulator with its canaries
	$(BUN) test --timeout 30000 test --path-ignore-patterns 'test/{e2e,chaos}/**'

e2e: dist/kvraft ## Tests of the built binary: kill -9, damage, the README's commands
	$(BUN) test --timeout 120000 test/e2e test/chaos

sim: $(STAMP) ## Random worlds in virtual time: RUNS=100, or SEED=n with TRACE=1, SHRINK=1
	@$(BUN) test/sim/main.ts

canaries: $(STAMP) ## How many seeds the simulator needs to find each deliberate fault; rewrites its table
	@$(BUN) test/sim/canary-table.ts

fuzz: $(STAMP) ## Random bytes into everything that reads bytes: SECONDS=60 for each target, TARGET=name for one
	@$(BUN) test/fuzz/main.ts $(TARGET) --seconds $(or $(SECONDS),60)

chaos: dist/kvraft ## The built binary through kill -9, partitions, silence, full and hanging disks, strangers: MINUTES=10, SEED=n, NODES=3, HISTORY=file
	@test/chaos/in-own-network $(BUN) test/chaos/main.ts

check: $(STAMP) ## Types, lint and format
	$(BUN) check
	$(BIOME) check --error-on-warnings

format: $(STAMP) ## Rewrite the sources in the house format
	$(BIOME) check --write

bench: dist/kvraft ## Throughput and latency of three nodes with sync on, beside Redis where it is installed; the store's
	$(BUN) test/bench/simulation.ts
	$(BUN) test/bench/linearizability.ts
	$(BUN) test/bench/store.ts
	$(BUN) test/bench/main.ts
	$(BUN) test/bench/operations.ts

bench-store: $(STAMP) ## The store alone, beside SQLite and LevelDB: KEYS=1000000, ROUNDS=3, SQLITE_ROUNDS=1, JSON=1
	@$(BUN) test/bench/store.ts

bench-operations: dist/kvraft ## What transfers, compaction, a lost leader, restarts cost: ONLY=kills,stops, BYTES, KILLS, PUTS, ENTRIES
	@$(BUN) test/bench/operations.ts

clean: ## Remove what was built and installed
	rm -rf dist node_modules
