//! Which of x86-64's extensions do this processor and its operating system have?

use core::arch::x86_64::{__cpuid, __cpuid_count};

cpufeatures::new!(avx2, "avx2");
cpufeatures::new!(avx512bw, "avx512bw");
cpufeatures::new!(avx512f, "avx512f");
cpufeatures::new!(fma, "fma");

/// Whether this processor has the target feature `name`, and the operating system keeps its registers. No for names that it does not know.
pub(crate) fn has(name: &str) -> bool {
    match name {
        "avx2" => avx2::get(),
        "avx512bw" => avx512bw::get(),
        "avx512f" => avx512f::get(),
        "fma" => fma::get(),
        // The crate does not know these two. Each needs of the operating system what the other in its line needs.
        "f16c" => avx2::get() && __cpuid(1).ecx >> 29 & 1 == 1,
        "avx512vnni" => avx512f::get() && __cpuid_count(7, 0).ecx >> 11 & 1 == 1,
        _ => false,
    }
}
