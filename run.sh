#!/bin/bash
cd /tmp/mut; export PYTHONPATH=/tmp/mut/src:/tmp/mut PATH=/work/wt/change/.venv/bin:$PATH; exec "$@"
