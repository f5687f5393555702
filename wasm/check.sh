#!/usr/bin/env bash
# Builds the kernels again and fails when they differ from the committed ones.
set -euo pipefail
cd "$(dirname "$0")"
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
./build.sh --out "$again"
for file in dist/*.wasm; do
  cmp "$file" "$again/$(basename "$file")" || {
    echo "check.sh: $file is not what the sources give; run wasm/build.sh and commit it" >&2
    exit 1
  }
done
echo "kernels are up to date"
