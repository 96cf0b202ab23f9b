#!/usr/bin/env bash
# Compares the back ends' bits on an emulated processor with AVX-512, for x86-64 machines whose own has none.
#
# Bochs plays a Skylake-X and boots Debian's kernel with one program: runtime/tests/backends.rs, release flags, linked statically.
# Passes when that test does and AVX-512 was among the back ends compared. Tells nothing about speed. Takes about ten minutes of
# one core.
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
[[ $(bochs-bin --help cpu 2>&1 || true) == *corei7_skylake_x* ]] || fail "this Bochs emulates no processor with AVX-512 (Debian's 2.7 does)"

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

# The test, and a first process that runs it and reports how it ended.
test=$(CARGO_TARGET_DIR=$work/cargo RUSTFLAGS="-C target-feature=+crt-static" cargo test --locked --quiet --release \
  --target x86_64-unknown-linux-gnu -p dreamstep-runtime --test backends --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\/backends-[^"]*\)".*/\1/p')
[ -x "$test" ] || fail "cargo named no test binary"
rm -rf "$work/root" "$work/iso" && mkdir -p "$work/root" "$work/iso/isolinux"
strip -o "$work/root/test" "$test"
cc -O1 -static -o "$work/root/init" -x c - <<'C'
#include <stdio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
int main(void) {
    pid_t child = fork();
    if (child == 0) {
        execl("/test", "test", "--nocapture", "--test-threads=1", (char *)0);
        _exit(126);
    }
    int status = -1;
    while (wait(&status) != child) {}
    tcdrain(1);
    dprintf(1, "wait status %d.\n", status);
    for (;;) pause();
}
C
(cd "$work/root" && printf 'init\ntest\n' | cpio --quiet -o -H newc) >"$work/iso/isolinux/initrd"
cp "$kernel" "$work/iso/isolinux/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"
# Bochs reports a wrong size for XSAVES and XSAVEC, at which the kernel would give up AVX: bits 321 and 323 hide the two.
cat >"$work/iso/isolinux/isolinux.cfg" <<'CFG'
SERIAL 0
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  APPEND initrd=initrd console=ttyS0 quiet loglevel=1 clearcpuid=321,323 mitigations=off acpi=off pci=off tsc=reliable lpj=400000 no_timer_check random.trust_cpu=on cryptomgr.notests lsm=
CFG
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/iso" 2>"$work/xorriso.log" || fail "xorriso failed: see $work/xorriso.log"
cat >"$work/bochsrc" <<'RC'
config_interface: textconfig
display_library: term
cpu: model=corei7_skylake_x, count=1, ips=100000000, reset_on_triple_fault=0
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

echo "avx512-emulated: booting; the test's output goes to $work/serial.txt"
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
  if grep -qE 'wait status -?[0-9]+\.|end Kernel panic' serial.txt || ! kill -0 "$bochs" 2>/dev/null; then break; fi
done
tr -d '\r' <serial.txt | sed -n '/^running/,$p'
tr -d '\r' <serial.txt | grep -q '^wait status 0\.$' || fail "the test did not pass in $second s: see $work/serial.txt, bochs.log and bochs.out there"
grep -q 'back ends compared on this processor: .*avx512' serial.txt || fail "the test passed without AVX-512"
echo "avx512-emulated: the AVX-512 back end gives the bits of the portable one (emulated, $second s)"
