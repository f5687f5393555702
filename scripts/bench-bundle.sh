#!/bin/sh
# Measures this machine's GPU: the conformance suite and the benches, on weights made at random here. It needs Linux on x64
# and a GPU driver with Vulkan, nothing else.
#
#   ./run.sh [--quick] [--shape NAME]... [--kernels] [--conformance] [--precision auto|f32|f16] [--json FILE]
#
# Without a choice it runs everything; --quick runs little of all, to see that it works. The report is results.json beside
# this file, or FILE; it is written anew after every part.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/llava-sp-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$work/dist/linux-x64" "$work/lib"
gzip -dc "$here/node.gz" >"$work/node"
chmod +x "$work/node"
gzip -dc "$here/dawn.node.gz" >"$work/dist/linux-x64/dawn.node"
cp "$here/bench.mjs" "$work/bench.mjs"

# A library of this name that programs find by themselves.
found() {
  for folder in $(printf %s "${LD_LIBRARY_PATH:-}" | tr : ' ') \
    /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib; do
    [ ! -e "$folder/$1" ] || return 0
  done
  # Not in everybody's PATH.
  { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q "$1 "
}

# Only what is missing: a driver may need the machine's own, newer ones.
for packed in "$here"/lib/*.gz; do
  name=$(basename "$packed" .gz)
  found "$name" || gzip -dc "$packed" >"$work/lib/$name"
done
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$work/lib"

# Containers often get a driver's libraries without the manifest that tells the Vulkan loader of them, or with one in a
# folder that it does not search.
if [ -z "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] && [ -e /dev/nvidiactl ] &&
  ! ls /usr/share/vulkan/icd.d/*nvidia* /etc/vulkan/icd.d/*nvidia* >/dev/null 2>&1; then
  manifest=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
  if [ ! -e "$manifest" ]; then
    manifest=$work/driver.json
    library=libGLX_nvidia.so.0
    found "$library" || library=libEGL_nvidia.so.0
    printf '{"file_format_version":"1.0.0","ICD":{"library_path":"%s","api_version":"1.3.0"}}\n' "$library" >"$manifest"
  fi
  export VK_ICD_FILENAMES="$manifest"
fi
# Mesa complains without one.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}"

"$work/node" "$work/bench.mjs" --json "$here/results.json" "$@"
