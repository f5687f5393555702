#!/usr/bin/env bash
# Installs what the tests run in and compute WebGPU with on Debian: Chromium (it brings SwiftShader), Firefox ESR, the Vulkan
# loader, and Mesa's lavapipe. Dawn refuses the lavapipe of Debian 12, so Mesa 24 or newer comes from the release's backports; where the machine
# has no backports, they are named after its own sources, for this script alone. `npm test` runs it.
set -euo pipefail

need_mesa=24
fail() {
  echo "install-gpu.sh: $*" >&2
  exit 1
}
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }
recent() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$need_mesa"; }
ready() {
  [ -x /usr/bin/chromium ] && [ -f /usr/lib/chromium/vk_swiftshader_icd.json ] &&
    [ -n "$(version_of libvulkan1)" ] && [ -f /usr/share/vulkan/icd.d/lvp_icd.json ] &&
    recent "$(version_of mesa-vulkan-drivers)"
}
# The tests in Firefox say that they are skipped where the system has no such package.
has_firefox() { [ -x /usr/bin/firefox-esr ]; }
ready && has_firefox && exit 0

command -v apt-get >/dev/null || fail "needs Debian's apt-get; install Chromium, the Vulkan loader and Mesa >= $need_mesa by hand"
sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "not root, and there is no sudo"
  sudo=(sudo -n)
  sudo -n true 2>/dev/null || fail "sudo asks for a password; run it as root: bash scripts/install-gpu.sh"
fi
root() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@"; }
# The newest mesa-vulkan-drivers that the sources offer.
newest() {
  local best='' version
  while read -r version; do
    if [ -z "$best" ] || dpkg --compare-versions "$version" gt "$best"; then best=$version; fi
  done < <(apt-cache madison mesa-vulkan-drivers | awk -F'|' '{ gsub(/ /, "", $2); print $2 }')
  echo "$best"
}
# What a plain install would take.
candidate() { apt-cache policy mesa-vulkan-drivers | awk '$1 == "Candidate:" { print $2 }'; }
install() { root apt-get install -qq -y --no-install-recommends "$@" >/dev/null || fail "apt-get could not install $*"; }

root apt-get update -qq
. /etc/os-release
[ -n "${VERSION_CODENAME:-}" ] || fail "the release has no codename"

# Of the files that exist, without comments, an empty line after each.
contents() {
  local file
  for file in "$@"; do
    if [ -f "$file" ]; then
      sed '/^#/d' "$file"
      echo
    fi
  done
}

extra=
cleanup() { [ -z "$extra" ] || root rm -f "$extra"; }
trap cleanup EXIT
if ! has_firefox && apt-cache policy firefox-esr | grep -q 'Candidate: [0-9]'; then install firefox-esr; fi
ready && exit 0
if ! recent "$(newest)"; then
  # The machine's own sources of the release, with the suite changed and nothing else: one-line and stanza format.
  parts=$(apt-config shell parts Dir::Etc::sourceparts/d list Dir::Etc::sourcelist/f)
  eval "$parts"
  lines=$(contents "$list" "$parts"*.list |
    sed -n -E "s/^(deb .* )$VERSION_CODENAME( .*)$/\1$VERSION_CODENAME-backports\2/p")
  stanzas=$(contents "$parts"*.sources | awk -v RS= -v code="$VERSION_CODENAME" '
    $0 ~ "(^|\n)Suites:([^\n]*[ \t])?" code "([ \t\n]|$)" && $0 !~ "(^|\n)Enabled: *no" {
      sub("Suites:[^\n]*", "Suites: " code "-backports"); print $0 "\n" }')
  if [ -n "$stanzas" ]; then
    extra=${parts}llava-sp-backports.sources
    root tee "$extra" <<<"$stanzas" >/dev/null
  elif [ -n "$lines" ]; then
    extra=${parts}llava-sp-backports.list
    root tee "$extra" <<<"$lines" >/dev/null
  else
    fail "no apt source of $VERSION_CODENAME was found to derive its backports from"
  fi
  root apt-get update -qq || fail "the backports of $VERSION_CODENAME can't be read"
fi
if recent "$(candidate)"; then
  install mesa-vulkan-drivers
else
  mesa=$(newest)
  recent "$mesa" || fail "no source offers mesa-vulkan-drivers >= $need_mesa (the newest is ${mesa:-none})"
  # What it depends on comes from the backports too.
  install -t "$VERSION_CODENAME-backports" mesa-vulkan-drivers
fi
install chromium libvulkan1
ready || fail "everything was installed, but a driver is not where it should be"
