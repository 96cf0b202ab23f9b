#!/usr/bin/env bash
# Runs the conformance suite (runtime/conformance) on every kind of processor that can be emulated here, and holds each to
# the committed table of digests: `cross.sh [TARGET…]`, by default all but the last.
#
#   host          this machine, every back end that it has
#   aarch64       a Linux program, QEMU user mode
#   wasm          WebAssembly without and
#   wasm-simd128  with its vector instructions, under node
#   cortex-m4     firmware, Arm AN386 board in QEMU; then the shipped agent from flash, with what a step costs
#   cortex-m7     the same on the AN500, compiled for its other floating-point unit
#   riscv64       bare metal with hardware floating point, QEMU's `virt` board
#   riscv32       the same with software floating point; only if named, for its minute
#
# It also compiles the runtime for x86-64 and Arm without vector registers, and sees that 32-bit x86 without SSE2 is refused.
#
# Compilers, libraries and emulators are Debian's, unpacked into third_party/cross; nothing else on the machine is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "cross: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || fail "'$1' not found: $2"; }

tools=$PWD/third_party/cross
root=$tools/root
out=$PWD/target/cross
table=runtime/conformance/digests.txt
packages="rustc-web rust-web-src cargo-web qemu-system-arm qemu-system-misc qemu-user"
packages+=" gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
# Only the standard library: the package's own dependencies are a compiler that runs on such a machine.
foreign="libstd-rust-web-dev:arm64"

# Downloads what this machine lacks of the packages and all that they depend on, as any user, by package lists of our own
# (they know the foreign architecture), and unpacks it. Idempotent: a stamp holds the packages' names.
install() {
  local apt=$tools/apt log=$tools/install.log deb
  [ "$(cat "$tools/stamp" 2>/dev/null)" != "$packages $foreign" ] || return 0
  for tool in apt-get dpkg-deb; do need $tool "this needs Debian's packages, for x86-64: $packages $foreign"; done
  [ "$(dpkg --print-architecture)" = amd64 ] || fail "architecture $(dpkg --print-architecture), expected amd64"
  echo "cross: installing compilers and emulators into third_party/cross (300 MB to download, 1.4 GB; once)"
  rm -rf "$tools"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/state" "$root"
  cat >"$apt/apt.conf" <<END
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$apt";
APT::Architectures { "amd64"; "arm64"; };
APT::Install-Recommends "false";
Debug::NoLocking "true";
END
  (
    export APT_CONFIG=$apt/apt.conf
    # shellcheck disable=SC2086 # words
    apt-get update && apt-get install --yes --download-only --reinstall $packages &&
      cd "$apt/archives" && apt-get download "$foreign"
  ) >"$log" 2>&1 ||
    fail "could not download $packages $foreign: $(grep -m 1 -E '^(E:|W: Failed)' "$log" || tail -n 1 "$log"); log: $log"
  for deb in "$apt"/archives/*.deb; do
    case $deb in
      */rust-web-src_*) dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --wildcards '*/library/*' '*/rustlib/src/*' ;;
      *) dpkg-deb -x "$deb" "$root" ;;
    esac >>"$log" 2>&1 || fail "could not unpack $(basename "$deb"): $(tail -n 1 "$log")"
  done
  rm -rf "$apt"
  echo "$packages $foreign" >"$tools/stamp"
}

# A command that sees Debian's compiler and emulators.
with_tools() {
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS PATH="$root/usr/bin:$PATH" \
    RUSTC="$root/usr/bin/rustc" RUSTDOC="$root/usr/bin/rustdoc" \
    LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$@"
}

# build LANE FOLDER TARGET FLAGS [ARGUMENT…]: firmware. Its core library is not packaged, so that is built too (hence
# RUSTC_BOOTSTRAP). The targets of a lane share a build folder, for what runs on this machine.
build() {
  local lane=$1 folder=$2 target=$3 flags=$4
  shift 4
  (
    cd "runtime/boards/$folder"
    with_tools env RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Clinker=$lld $flags" cargo build --release --locked --quiet --target "$target" \
      --target-dir "$out/$lane" -Zbuild-std=core -Zbuild-std-features=compiler-builtins-mem "$@" >&2
  )
}

# Each target prints the suite's table; lines that begin with "=" say what else was measured.
host() { cargo run --release --locked --quiet -p dreamstep-conformance --features humanoid; }

aarch64() {
  local target=aarch64-unknown-linux-gnu
  with_tools env RUSTFLAGS="-Clinker=aarch64-linux-gnu-gcc -Ctarget-feature=+crt-static" \
    cargo build --release --locked --quiet --target $target --target-dir "$out/one" \
    -p dreamstep-conformance --features humanoid >&2
  with_tools qemu-aarch64 "$out/one/$target/release/dreamstep-conformance"
}

wasm() {
  build two wasm wasm32-unknown-unknown "${1:--Ctarget-feature=-simd128}"
  node runtime/boards/wasm/run.mjs "$out/two/wasm32-unknown-unknown/release/dreamstep_wasm.wasm"
}

wasm-simd128() { wasm -Ctarget-feature=+simd128; }

cortex-m4() { cortex mps2-an386 cortex-m4 ""; }
cortex-m7() { cortex mps2-an500 cortex-m7 -Ctarget-cpu=cortex-m7; }

cortex() {
  local machine=$1 cpu=$2 example built=$out/one/thumbv7em-none-eabihf/release
  build one mps2 thumbv7em-none-eabihf "$3" --bins --examples
  emulate arm -machine "$machine" -cpu "$cpu" -kernel "$built/dreamstep-mps2" || return
  for example in agent frames drive; do
    emulate arm -machine "$machine" -cpu "$cpu" -icount shift=0 -kernel "$built/examples/$example" || exit
  done | awk '
    { print }
    /^= .* bytes of stack/ && match($0, /[0-9]+ bytes of stack/) && substr($0, RSTART) + 0 > 1024 {
      print "cross: a step uses more than 1024 bytes of stack: " $0 > "/dev/stderr"; failed = 1
    }
    END { exit failed }' || return
  size -A "$built/examples/agent" | awk '
    $1 ~ /^\.(vector_table|text|rodata|data)$/ { flash += $2 }
    $1 ~ /^\.(data|bss|uninit)$/ { ram += $2 }
    END { printf "= flash: %d bytes, both models with it; static RAM: %d bytes\n", flash, ram }'
}

riscv64() { riscv riscv64gc 64; }
riscv32() { riscv riscv32imac 32; }

riscv() {
  build two riscv "$1-unknown-none-elf" ""
  emulate "riscv$2" -machine virt -bios none -kernel "$out/two/$1-unknown-none-elf/release/dreamstep-riscv"
}

# Nothing to run here, but to compile: soft-float targets of vector architectures, and one whose arithmetic is not binary32.
compiles() {
  local target log=$out/compiles.log
  for target in x86_64-unknown-none aarch64-unknown-none-softfloat i586-unknown-linux-gnu; do
    if with_tools env RUSTC_BOOTSTRAP=1 cargo check --release --locked --quiet --target $target --target-dir "$out/one" \
      -Zbuild-std=core -p dreamstep-runtime >"$log" 2>&1; then
      [ $target != i586-unknown-linux-gnu ] || fail "$target: expected a refusal, it compiles"
    else
      [ $target = i586-unknown-linux-gnu ] && grep -q "dreamstep needs binary32 arithmetic" "$log" ||
        fail "$target: does not compile: $(grep -m 1 '^error' "$log"); log: target/cross/compiles.log"
    fi
  done
  echo "cross: x86-64 and aarch64 without vector registers compile, x87 is refused"
}

# A hang is a failure too; the slowest takes half a minute of an idle core.
emulate() { with_tools timeout 900 "qemu-system-$1" -nographic -semihosting-config enable=on,target=native "${@:2}"; }

# Runs a target and holds what it prints to the table: every line of the target's agents, on each back end, and no other.
check() {
  local target=$1 agents start=$SECONDS
  # All but the large ones, which small targets have no room for.
  agents=$(grep -v '^#' "$table" | cut -d ' ' -f 1 | grep -vxE 'humanoid|shipped|paper' | sort -u | tr '\n' ' ')
  case $target in
    host | aarch64 | wasm*) agents+=" humanoid shipped paper" ;;
    cortex*) agents+=" shipped paper" ;;
  esac
  # Waited for, not called: in `call || fail` a shell goes on after a command that failed, here with an older build.
  "$target" >"$out/$target.txt" 2>"$out/$target.log" &
  wait $! || fail "$target: status $?, $(grep -m 1 -A 1 -hiE 'error|panic' "$out/$target.log" | tr '\n' ' ' ||
    tail -n 1 "$out/$target.log"); logs: target/cross/$target.{txt,log}"
  awk -v target="$target" -v agents=" $agents " '
    function wrong(text) { print "cross: " target ": " text; failed = 1; exit 1 }
    NR == FNR && /^#/ { next }
    NR == FNR { table[$1 " " $2 " " $3] = $4; if (index(agents, " " $1 " ")) lines++; next }
    /^=/ { measured = measured "\n  " substr($0, 3); next }
    /^#/ { if (!($2 in known)) { known[$2]; names = names (names ? ", " : "") $2; count++ } backend = $2; next }
    { name = $1 " " $2 " " $3 }
    NF != 4 || !(name in table) { wrong("expected a line of the table, found `" $0 "`") }
    table[name] != $4 { wrong(name " on " backend ": expected " table[name] ", found " $4) }
    !((backend, name) in seen) { seen[backend, name]; equal++ }
    END {
      if (failed) exit 1
      if (equal != lines * count || !equal) wrong("expected " lines " digests from each of " count + 0 " back ends, found " equal + 0)
      printf "%s: %d digests equal (%s), %d s%s\n", target, equal, names, '$((SECONDS - start))', measured
    }' "$table" "$out/$target.txt" || exit 1
}

# One after the other, to the first that fails.
lane() { for target; do check "$target"; done; }

need cargo "install Rust 1.95 or newer (https://rustup.rs)"
need node "WebAssembly runs under node 16 or newer (Debian/Ubuntu: nodejs)"
need size "it comes with a C compiler (Debian/Ubuntu: binutils)"
lld=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
[ -x "$lld" ] || fail "$lld not found: it comes with Rust from https://rustup.rs"
install
mkdir -p "$out"
for target; do grep -qE "^#   $target " "$0" || fail "target '$target': expected one of those that $0 opens with"; done

if [ $# -gt 0 ]; then
  lane "$@"
  exit
fi
# Two at a time; the lanes share no build folder.
lane host cortex-m4 cortex-m7 aarch64 &
lane wasm wasm-simd128 riscv64 &
failed=0
wait -n || failed=1
wait -n || failed=1
[ $failed = 0 ] || exit 1
compiles
echo "cross: 7 targets print the digests of $table, $SECONDS s"
