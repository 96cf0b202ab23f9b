// Runs the conformance module under node and prints its table: node run.mjs FILE.wasm
import { readFileSync } from "node:fs";

const text = new TextDecoder();
const host = {
  print: (start, length) => process.stdout.write(text.decode(new Uint8Array(exports.memory.buffer, start, length))),
  // A u64 arrives as a signed BigInt.
  print_digest: (digest) => process.stdout.write(BigInt.asUintN(64, digest).toString(16).padStart(16, "0") + "\n"),
};
const { exports } = (await WebAssembly.instantiate(readFileSync(process.argv[2]), { host })).instance;
exports.conformance();
