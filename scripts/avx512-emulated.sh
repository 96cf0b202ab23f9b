#!/usr/bin/env bash
# Compares the AVX-512 back ends' bits with the committed ones on an emulated processor, for x86-64 machines whose own has no AVX-512.
#
# Bochs plays an Ice Lake, which has AVX-512F, BW and VNNI, and boots Debian's kernel with one program: the conformance suite, release
# flags, linked statically, without the agents of Humanoid's size. Passes when the tables of both AVX-512 back ends are what
# runtime/conformance/digests.txt says; lines that differ are printed. Tells nothing about speed.
# Takes two to five minutes of one core. With MORE=1 runtime/tests/backends.rs then runs there too: many minutes more.
# Installs nothing and needs no root; the kernel is downloaded (unpacked, not installed) unless KERNEL names a bzImage of your own.
# All it writes is in target/avx512-emulated/; MINUTES bounds the emulation.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "avx512-emulated: $*" >&2; exit 1; }
missing=()
while read -r path package; do [ -e "$path" ] || missing+=("$package"); done <<'PATHS'
/usr/bin/bochs-bin bochs
/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so bochs-term
/usr/share/bochs/BIOS-bochs-latest bochsbios
/usr/share/bochs/VGABIOS-lgpl-latest vgabios
/usr/lib/ISOLINUX/isolinux.bin isolinux
/usr/lib/syslinux/modules/bios/ldlinux.c32 syslinux-common
/usr/bin/xorriso xorriso
/usr/bin/cpio cpio
/usr/bin/cc gcc
PATHS
[ ${#missing[@]} = 0 ] || fail "missing Debian packages: apt install --no-install-recommends ${missing[*]}"
[[ $(bochs-bin --help cpu 2>&1 || true) == *corei7_icelake_u* ]] || fail "this Bochs emulates no processor with AVX-512 VNNI (Debian's 2.7 does)"

work=$PWD/target/avx512-emulated
mkdir -p "$work"
kernel=${KERNEL:-$work/vmlinuz}
if [ ! -e "$kernel" ] && [ -z "${KERNEL:-}" ]; then
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
  [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64: run apt-get update, or set KERNEL to a bzImage"
  rm -rf "$work/deb" && mkdir "$work/deb"
  (cd "$work/deb" && apt-get -qq download "$package" 2>&1) >"$work/apt.log" || fail "could not download $package: see $work/apt.log"
  dpkg -x "$work"/deb/*.deb "$work/deb"
  mv "$work"/deb/boot/vmlinuz-* "$work/vmlinuz" && rm -rf "$work/deb"
fi
[ -e "$kernel" ] || fail "KERNEL=$kernel: no such file"

# The suite, with MORE the test, and a first process that runs them and reports how they ended.
build() {
  CARGO_TARGET_DIR=$work/cargo RUSTFLAGS="-C target-feature=+crt-static" cargo "$@" --locked --quiet --release \
    --target x86_64-unknown-linux-gnu --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}
rm -rf "$work/root" "$work/iso" && mkdir -p "$work/root" "$work/iso/isolinux"
suite=$(build build -p dreamstep-conformance --bin dreamstep-conformance)
[ -x "$suite" ] || fail "cargo named no binary of the suite"
strip -o "$work/root/suite" "$suite"
if [ -n "${MORE:-}" ]; then
  test=$(build test -p dreamstep-runtime --test backends --no-run)
  [ -x "$test" ] || fail "cargo named no test binary"
  strip -o "$work/root/test" "$test"
fi
cc -O1 -static -o "$work/root/init" -x c - <<'C'
#include <stdio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
static void run(const char *path) {
    if (access(path, X_OK) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        char *suite[] = {"suite", "avx512", "avx512vnni", (char *)0};
        char *test[] = {"test", "--nocapture", "--test-threads=1", (char *)0};
        execv(path, path[1] == 's' ? suite : test);
        _exit(126);
    }
    int status = -1;
    while (wait(&status) != child) {}
    tcdrain(1);
    dprintf(1, "# %s: wait status %d.\n", path + 1, status);
}
int main(void) {
    run("/suite");
    run("/test");
    dprintf(1, "# end.\n");
    for (;;) pause();
}
C
(cd "$work/root" && printf '%s\n' * | cpio --quiet -o -H newc) >"$work/iso/isolinux/initrd"
cp "$kernel" "$work/iso/isolinux/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"
# Bochs reports wrong sizes for XSAVES, XSAVEC and protection keys, at which the kernel would give up AVX: bits 321, 323 and 515 hide
# them. 580 hides fast short string moves, with which this kernel hangs early in its boot there.
cat >"$work/iso/isolinux/isolinux.cfg" <<'CFG'
SERIAL 0
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  APPEND initrd=initrd console=ttyS0 quiet loglevel=1 clearcpuid=321,323,515,580 mitigations=off acpi=off pci=off tsc=reliable lpj=400000 no_timer_check random.trust_cpu=on cryptomgr.notests lsm=
CFG
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/iso" 2>"$work/xorriso.log" || fail "xorriso failed: see $work/xorriso.log"
cat >"$work/bochsrc" <<'RC'
config_interface: textconfig
display_library: term
cpu: model=corei7_icelake_u, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1
ata0-master: type=cdrom, path=boot.iso, status=inserted
com1: enabled=1, mode=file, dev=serial.txt
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
RC
echo continue >"$work/debugger" # Debian's Bochs starts in its debugger

echo "avx512-emulated: booting; the output goes to $work/serial.txt"
bochs='' screen=''
stop() { for pid in $bochs $screen; do kill -9 "$pid" 2>/dev/null || true; done; }
trap stop EXIT
cd "$work"
rm -f serial.txt && : >serial.txt
TERM=xterm nice bochs-bin -q -f bochsrc -rc debugger </dev/null >bochs.out 2>&1 &
bochs=$!
for ((second = 0; second < 60 * ${MINUTES:-60}; second++)); do
  sleep 1
  # The screen is a terminal that blocks the emulator when nobody reads it.
  if [ -z "$screen" ]; then
    terminal=$(sed -n 's/.*Bochs connected to screen "\(.*\)".*/\1/p' bochs.out)
    if [ -n "$terminal" ]; then cat "$terminal" >/dev/null 2>&1 </dev/null & screen=$!; fi
  fi
  if grep -qE '^# end\.|end Kernel panic' serial.txt || ! kill -0 "$bochs" 2>/dev/null; then break; fi
done
tr -d '\r' <serial.txt >output.txt
why="see serial.txt, bochs.log and bochs.out in $work"

# What the suite prints without the feature `humanoid`.
grep -vE '^(#|humanoid |shipped )' ../../runtime/conformance/digests.txt >expected.txt
wrong=()
for backend in avx512 avx512vnni; do
  sed -n "/^# $backend\$/,/^#/{/^#/!p}" output.txt >"$backend.txt"
  if ! [ -s "$backend.txt" ]; then
    echo "avx512-emulated: $backend: no digests"
    wrong+=("$backend")
  else
    echo "avx512-emulated: $backend: $(grep -cxFf expected.txt "$backend.txt" || true) of $(wc -l <expected.txt) digests equal"
    # Committed lines: <. Printed ones: >.
    diff expected.txt "$backend.txt" || wrong+=("$backend")
  fi
done
grep -q '^# suite: wait status 0\.$' output.txt || fail "the suite did not end well in $second s: $why"
[ ${#wrong[@]} = 0 ] || fail "not the committed table, or no back end there: ${wrong[*]} ($second s): $why"
if [ -n "${MORE:-}" ]; then
  sed -n '/^running/,$p' output.txt
  grep -q '^# test: wait status 0\.$' output.txt || fail "the test did not pass in $second s: $why"
  grep -q 'back ends compared on this processor: .*avx512, avx512vnni$' output.txt || fail "the test passed without both AVX-512 back ends"
fi
echo "avx512-emulated: both AVX-512 back ends give the committed bits (emulated, $second s)"
