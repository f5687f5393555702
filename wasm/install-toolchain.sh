#!/usr/bin/env bash
# Installs what wasm/build.sh needs on Debian 12 or newer (root). CI runs it; nobody needs it to use the package, because
# wasm/dist is committed. The emcc driver is Debian's; its LLVM 14 has only prototype opcodes for relaxed SIMD, hence clang-22.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends emscripten clang-22 lld-22 llvm-22
echo 'binaryen (wasm-opt) comes from npm: npm install --no-save --prefix .cache/binaryen binaryen@132'
