#!/usr/bin/env bash
# Builds every .wasm again and fails when one differs from the committed one.
set -euo pipefail
cd "$(dirname "$0")"
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
./build.sh --out "$again"
for file in dist/*.wasm ../packages/convert/wasm/convert.wasm; do
  cmp "$file" "$again/$(basename "$file")" || {
    echo "check.sh: $file is not what the sources give; run wasm/build.sh and commit it" >&2
    exit 1
  }
done
echo "all .wasm files are up to date"
