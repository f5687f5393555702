#!/usr/bin/env bash
# Builds wasm/dist/kernels.{simd,relaxed}.wasm and packages/convert/wasm/convert.wasm. Installs nothing: missing tools are
# named with the package that has them.
# The output depends on the sources and the tool versions only: no paths, no names, no time.
#   wasm/build.sh [--out DIR] [--names]      --out: all of them go there; --names keeps function names, for profiling
set -euo pipefail
cd "$(dirname "$0")"
out=dist
convert=../packages/convert/wasm
names=0
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2 convert=$2; shift 2 ;;
    --names) names=1; shift ;;
    *) echo "build.sh: unknown option $1" >&2; exit 2 ;;
  esac
done

missing=0
need() { # path or command, package
  if ! command -v "$1" >/dev/null 2>&1; then echo "build.sh: $1 is missing (Debian package $2)" >&2; missing=1; fi
}
llvm=${LLVM_BIN:-/usr/lib/llvm-22/bin}
need "$llvm/clang" clang-22
need "$llvm/wasm-ld" lld-22
need "$llvm/llvm-ar" llvm-22
emscripten=${EMSCRIPTEN:-/usr/share/emscripten}
need "$emscripten/emcc.py" emscripten
need node nodejs
need python3 python3
binaryen=${BINARYEN_JS:-}
for dir in ../node_modules/binaryen; do
  [ -n "$binaryen" ] || { [ -f $dir/bin/wasm-opt ] && binaryen=$(realpath $dir/bin); }
done
if [ -z "$binaryen" ]; then
  echo 'build.sh: wasm-opt is missing: npm install' >&2
  missing=1
fi
if [ $missing = 1 ]; then echo 'wasm/install-toolchain.sh installs the Debian packages.' >&2; exit 1; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$out" "$convert"
# npm's binaryen is newer than Debian's, which does not know the final relaxed opcodes. Its optimiser stays off (-O is dropped):
# it sinks every sum of a tile to its use, as one long chain, and undoes the order that PIN keeps (include/simd.h); the GEMM
# loses a third by that. clang's -O3 has done the work by then.
for tool in wasm-opt wasm-metadce; do
  cat >"$work/bin/$tool" <<TOOL
#!/bin/sh
for arg; do shift; case \$arg in -O*) ;; *) set -- "\$@" "\$arg" ;; esac; done
exec node "$binaryen/$tool" "\$@"
TOOL
  chmod +x "$work/bin/$tool"
done
cat >"$work/config.py" <<CONFIG
LLVM_ROOT = '$llvm'
LLVM_ADD_VERSION = ''
CLANG_ADD_VERSION = ''
BINARYEN_ROOT = '$work'
NODE_JS = 'node'
FROZEN_CACHE = True
CONFIG
export EM_CONFIG="$work/config.py" NODE_PATH=/usr/share/nodejs EMCC_READ_METADATA=python EM_IGNORE_SANITY=1
export PATH="$work/bin:$PATH" PYTHONDONTWRITEBYTECODE=1

for variant in simd relaxed; do
  flags="-msimd128" dir=simd128
  if [ $variant = relaxed ]; then flags="-msimd128 -mrelaxed-simd" dir=relaxed; fi
  keep=$([ $names = 1 ] && echo --profiling-funcs || echo -g0)
  # -fno-math-errno and the like stay default: NaN must propagate to the logits, where it is reported, so no -ffast-math
  # Every page loads all of it: what takes a small part of an answer's time is compiled for size.
  compile="$emscripten/emcc.py $flags -mbulk-memory -std=c11 -Wall -Wextra -Werror -I$PWD/include -I$PWD/$dir"
  mkdir "$work/$variant"
  fast=() small=()
  for source in "$PWD"/kernels/*.c; do
    case ${source##*/} in linear_* | attention.c | quantize_q8.c | repack_q4.c) fast+=("$source") ;; *) small+=("$source") ;; esac
  done
  (cd "$work/$variant" && python3 $compile -O3 -c "${fast[@]}" && python3 $compile -Os -c "${small[@]}")
  python3 "$emscripten/emcc.py" -O3 $flags "$work/$variant"/*.o -o "$work/$variant.wasm" --no-entry $keep \
    -sSTANDALONE_WASM -sWASM_BIGINT -sIMPORTED_MEMORY -sALLOW_MEMORY_GROWTH -sINITIAL_MEMORY=1MB -sMAXIMUM_MEMORY=4GB -sTOTAL_STACK=64KB \
    -sERROR_ON_UNDEFINED_SYMBOLS=0 -sWARN_ON_UNDEFINED_SYMBOLS=0 -Wl,--no-stack-first -Wl,--export=__heap_base
  "$work/bin/wasm-opt" --enable-simd --enable-relaxed-simd --enable-bulk-memory --enable-sign-ext --enable-mutable-globals \
    --enable-nontrapping-float-to-int --vacuum --dce --coalesce-locals --reorder-locals --strip-producers --strip-target-features "$work/$variant.wasm" \
    $([ $names = 1 ] && echo -g) -o "$out/kernels.$variant.wasm"
done

# No C library and no emscripten: it owns its memory, and its callers speak to it by addresses alone. Whether a wasm-opt is
# on the PATH must not change it.
"$llvm/clang" --target=wasm32 -O3 -msimd128 -mbulk-memory -mnontrapping-fptoint -std=c11 -Wall -Wextra -Werror -ffreestanding -nostdlib --no-wasm-opt \
  -Iinclude -Isimd128 convert/*.c -o "$convert/convert.wasm" -Wl,--no-entry -Wl,-z,stack-size=65536 -Wl,--strip-all -Wl,--export=__heap_base
chmod 644 "$convert/convert.wasm" # the linker takes it for a program
ls -l "$out"/kernels.*.wasm "$convert/convert.wasm"
