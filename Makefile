# The two commands of the README are `make demo` and `make test`; both set up what they need.
PY := .venv/bin/python

.PHONY: demo test check lab mutants cross-check opinions claims plans torture connections fuzz coverage panel cuts full-tables versions bench golden setup clean

demo: ; @tools/setup run && $(PY) -m conntrim lab incident && $(PY) -m conntrim lab incident --host gateway

setup: ; @tools/setup dev

check: setup
	$(PY) -m ruff format --check src tests
	$(PY) -m ruff check src tests
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m pytest tests --ignore tests/lab -n auto

lab: setup
	$(PY) -m pytest tests/lab --durations 15

test: check lab

# Needs root, some minutes; TORTURE='--faults 200 --slice 1/2' gives less of it.
torture: setup
	$(PY) -m tests.lab.torture $(TORTURE)

# Broken plans, journals, policies, rules, listings and logs; FUZZ='--minutes 1 --seed 7' gives less of it.
fuzz: setup
	$(PY) -m tests.fuzz.run $(FUZZ)

# Proved plans broken in some hundred ways each, prover against kernel: about ten minutes.
mutants: setup
	CONNTRIM_MUTANTS=$(or $(N),100) $(PY) -m pytest tests/lab/test_mutants.py -q -s

# Random pairs of rule sets: compare, z3 and the kernel say the same. FROM=250 N=250 is the second quarter of 1,000.
cross-check: setup
	CONNTRIM_PAIRS=$(or $(N),1000) CONNTRIM_PAIRS_FROM=$(or $(FROM),0) $(PY) -m pytest tests/lab/test_pairs.py -q -s

opinions: cross-check  # its name before; gone with the next release

# What check, its edits and compare say, held to the kernel; CLAIMS='--seed 7 --rulesets 500 --slice 1/4'.
claims: setup
	nice $(PY) -m conntrim lab claims --save docs/claims.json $(CLAIMS)

# Proved plans under traffic, from the trial to the roll back; PLANS='--seed 7 --hosts 200 --slice 1/4 --workers 2'.
plans: setup
	nice $(PY) -m conntrim lab plans --save docs/plans.json $(PLANS)

# The census at full size: 1,000 real samples against their bounds, a saved table of 2 GB. Needs root, some minutes.
coverage: setup
	CONNTRIM_SAMPLES=$(or $(N),1000) CONNTRIM_TEXT_MB=$(or $(MB),2048) $(PY) -m pytest -q -s -k "bounds or memory" \
	  tests/lab/test_sample.py tests/unit/core/census/test_sample.py tests/unit/host/test_flow_files.py

# What plan says that time-outs would cut, against what they cut, in so many runs: ten minutes. N=10 gives less of it.
cuts: setup
	CONNTRIM_CUTS=$(or $(N),100) $(PY) -m pytest tests/lab/test_cut.py -q -s

# Hosts at a full table, each in all its dialects, from proposal to rollback: about ten minutes.
full-tables: setup
	CONNTRIM_HOSTS=all $(PY) -m pytest -q tests/lab/test_full_tables.py

# Needs root, some minutes and 3 GB; BENCH='--rounds 1 --growth' gives less of it. `pip install -e .[bench]` adds peers.
# Panels against made traffic: six kinds, up to a million entries, up to 30 s between readings. Needs root, 25 minutes.
panel: setup
	CONNTRIM_PANEL=long $(PY) -m pytest -q -s tests/lab/test_panel.py

bench: setup
	$(PY) -m bench $(BENCH)
	$(PY) -m bench.apply

# The nft and iptables of Debian 11, 12 and 13 on this kernel, with all of the corpus: ten minutes. Fetches 40 MB once.
versions: setup
	CONNTRIM_VERSIONS=all $(PY) -m pytest tests/lab/test_versions.py -q --durations 5

# Rollback, replacement and an expiry that is waited for, under so many connections of each kind: N=200.
connections: setup
	CONNTRIM_CONNECTIONS=$(or $(N),200) $(PY) -m pytest tests/lab/test_goes_on.py -q -s

golden: setup
	GOLDEN=accept $(PY) -m pytest tests/golden

clean: ; rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
