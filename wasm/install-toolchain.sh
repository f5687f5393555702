#!/usr/bin/env bash
# Installs what wasm/build.sh needs on Debian 12 or newer, where it may (root). `npm test` runs it; nobody needs it to use the
# packages, because wasm/dist is committed. The emcc driver is Debian's; its LLVM 14 has only prototype opcodes for relaxed
# SIMD, hence clang-22. binaryen (wasm-opt) is one of the workspace's npm packages.
set -euo pipefail
missing=()
[ -x /usr/lib/llvm-22/bin/clang ] || missing+=(clang-22)
[ -x /usr/lib/llvm-22/bin/wasm-ld ] || missing+=(lld-22)
[ -x /usr/lib/llvm-22/bin/llvm-ar ] || missing+=(llvm-22)
[ -f /usr/share/emscripten/emcc.py ] || missing+=(emscripten)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "install-toolchain.sh: not root; install these Debian packages: ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
