//! Which instructions compute the layers? A back end is one file that says what a register of sixteen lanes is on its instruction
//! set; the layers ([`crate::pointwise`], [`crate::matvec`]) are written once over that register, and the safe portable one specifies
//! what all must compute, bit for bit.
//!
//! [`Isa`] is the one dispatch ladder. A variant of it exists only where the processor was seen to run it.
//!
//! A build has a back end where its target may use the registers: by target feature, not by architecture. Soft-float x86-64
//! (`x86_64-unknown-none`, kernels) and soft-float aarch64 have the portable one alone, whatever the processor could do. Of the processor
//! a back end asks for the features that its line of [`entry_points`] names, which is the one place where they stand.

use dreamstep_core::dims::LANES;
use dreamstep_core::maths::Lane;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) mod avx512;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) mod avx512vnni;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod processor;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) mod sse2;

/// Sixteen binary32 lanes that move between registers and memory.
pub(crate) trait F32x16: Lane {
    /// Whether [`Self::add_exact_product`] is one instruction.
    const FUSES: bool = false;
    /// Reads sixteen values.
    fn load(from: &[f32; LANES]) -> Self;
    /// Writes sixteen values.
    fn store(self, to: &mut [f32; LANES]);
    /// Widens sixteen binary16 values, exactly.
    fn load_f16(from: &[u16; LANES]) -> Self;
    /// Widens sixteen pairs of bf16 values, exactly: those in the lower halves, then those in the upper halves.
    fn load_bf16(from: &[u32; LANES]) -> (Self, Self);
    /// `self + a·b` where the product is exact ([`dreamstep_core::precision`]), so that fused and unfused are the same bits.
    #[inline(always)]
    #[must_use]
    fn add_exact_product(self, a: Self, b: Self) -> Self {
        self.add(a.mul(b))
    }
}

/// Sixteen sums of products of 8-bit weights and 16-bit activations, each exact in 32 bits.
pub(crate) trait I32x16: Copy {
    /// Its values as binary32.
    type Total;
    /// No products yet.
    fn zero() -> Self;
    /// Adds, to each of sixteen outputs, the products of four inputs: `weights` `[16, 4]` in the order
    /// [`dreamstep_core::precision::I8_ORDER`], and those inputs as [`Self::quad`] made them. (By reference: each
    /// half is broadcast from memory, which costs no arithmetic.)
    #[must_use]
    fn dot(self, weights: &[[i8; 4]; LANES], quad: &Quad) -> Self;
    /// The sums, rounded to binary32. `weight_sums` are the sums of each output's weights, for those that need them.
    fn total(self, weight_sums: &[i32; LANES]) -> Self::Total;
    /// Four 16-bit inputs as [`Self::dot`] wants them: two pairs in order, where the instruction set does not want something else.
    #[inline(always)]
    fn quad([a, b, c, d]: [u16; 4]) -> Quad {
        [u32::from(a) | u32::from(b) << 16, u32::from(c) | u32::from(d) << 16]
    }
}

/// Four 16-bit inputs of an i8 layer.
pub(crate) type Quad = [u32; 2];

/// Sixteen sums of products of 8-bit weights and bytes from 0 to 127, each exact in 32 bits.
pub(crate) trait ByteSums: Copy {
    /// Its values as binary32.
    type Total;
    /// No products yet.
    fn zero() -> Self;
    /// Adds, to each of sixteen outputs, the products of four inputs: `weights` `[16, 4]` in order.
    #[must_use]
    fn dot(self, weights: &[[i8; 4]; LANES], inputs: [u8; 4]) -> Self;
    /// The sums, rounded to binary32.
    fn total(self) -> Self::Total;
}

/// Four bytes as two pairs of 16-bit integers: the even ones, and the odd ones.
#[allow(dead_code)] // where no back end wants them so
#[inline(always)]
const fn pairs(inputs: [u8; 4]) -> [u32; 2] {
    let word = u32::from_le_bytes(inputs);
    [word & 0x00ff_00ff, word >> 8 & 0x00ff_00ff]
}

/// Lanes of a pointwise function: as many as the back end likes, one where there are no vectors.
pub(crate) trait Chunk: Lane {
    /// Where its lanes lie in memory.
    type Cell;
    /// Lanes; a divisor of 16.
    const SIZE: usize;
    /// A padded vector, chunk after chunk.
    fn cells(values: &[f32]) -> &[Self::Cell];
    /// The same, to write to.
    fn cells_mut(values: &mut [f32]) -> &mut [Self::Cell];
    /// Reads a chunk.
    fn read(from: &Self::Cell) -> Self;
    /// Writes a chunk.
    fn write(self, to: &mut Self::Cell);
}

/// A register of sixteen lanes is a chunk of sixteen.
#[allow(unused_macros)] // where a build has the portable back end alone
macro_rules! chunk_of_sixteen {
    ($register:ty) => {
        impl $crate::kernels::Chunk for $register {
            type Cell = [f32; dreamstep_core::dims::LANES];
            const SIZE: usize = dreamstep_core::dims::LANES;
            #[inline(always)]
            fn cells(values: &[f32]) -> &[Self::Cell] {
                values.as_chunks().0
            }
            #[inline(always)]
            fn cells_mut(values: &mut [f32]) -> &mut [Self::Cell] {
                values.as_chunks_mut().0
            }
            #[inline(always)]
            fn read(from: &Self::Cell) -> Self {
                Self::load(from)
            }
            #[inline(always)]
            fn write(self, to: &mut Self::Cell) {
                self.store(to);
            }
        }
    };
}
#[allow(unused_imports)] // likewise
pub(crate) use chunk_of_sixteen;

/// What a back end brings.
pub(crate) trait Vectors {
    /// Sixteen lanes, for the products of matrices and vectors.
    type Register: F32x16;
    /// Sixteen sums of integer products.
    type Sums: I32x16<Total = Self::Register>;
    /// Sixteen sums of products with bytes.
    type ByteSums: ByteSums<Total = Self::Register>;
    /// Lanes of pointwise functions.
    type Chunk: Chunk;
}

/// An implementation of the kernels, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Safe Rust for any target: the specification.
    Portable,
    /// 128-bit vectors (x86-64 compiled with SSE2: all but soft-float targets).
    Sse2,
    /// 256-bit vectors (x86-64 with AVX2, FMA and F16C).
    Avx2,
    /// 512-bit vectors (x86-64 with AVX-512F and BW).
    Avx512,
    /// The same with 8-bit dot products (AVX-512 VNNI).
    Avx512Vnni,
    /// 128-bit vectors (aarch64 compiled with NEON: all but soft-float targets).
    Neon,
    /// 128-bit vectors (wasm32 compiled with simd128).
    Simd128,
}

impl Backend {
    /// All back ends, the specification first; of one architecture, the narrower before the wider.
    pub const ALL: [Self; 7] =
        [Self::Portable, Self::Sse2, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Neon, Self::Simd128];

    /// The widest that this processor runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor runs it.
    #[must_use]
    pub fn is_available(self) -> bool {
        Isa::new(self).is_some()
    }

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Sse2 => "sse2",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
            Self::Simd128 => "simd128",
        }
    }
}

/// The dispatch ladder: for each back end its variant of [`Isa`], the target that has it, and its module. (`$d` is a dollar sign, for
/// the macro inside.)
macro_rules! ladder {
    ($d:tt $($(#[$target:meta])* $name:ident = $module:ident;)*) => {
        /// A back end that this processor runs.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Isa {
            $($(#[$target])* $name($module::Token),)*
        }

        impl Backend {
            /// The target features, in Rust's names, that it asks of the processor beyond those that every processor of this build's target
            /// has. None where the build has not got it: it is another target's.
            #[must_use]
            pub const fn features(self) -> Option<&'static [&'static str]> {
                match self {
                    $($(#[$target])* Self::$name => Some($module::Token::FEATURES),)*
                    #[allow(unreachable_patterns)] // where a target has them all
                    _ => None,
                }
            }
        }

        impl Isa {
            pub(crate) fn new(backend: Backend) -> Option<Self> {
                match backend {
                    $($(#[$target])* Backend::$name => $module::Token::detect().map(Self::$name),)*
                    #[allow(unreachable_patterns)] // where a target has them all
                    _ => None,
                }
            }

            pub(crate) const fn backend(self) -> Backend {
                match self {
                    $($(#[$target])* Self::$name(_) => Backend::$name,)*
                }
            }
        }

        /// Calls an entry point (see [`entry_points`]) of the back end that a model runs on.
        macro_rules! dispatch {
            ($isa:expr, $function:ident($d($argument:expr),* $d(,)?)) => {
                match $isa {
                    $($(#[$target])* $crate::kernels::Isa::$name(token) => token.$function($d($argument),*),)*
                }
            };
        }
    };
}

ladder! { $
    Portable = portable;
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Sse2 = sse2;
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx2 = avx2;
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx512 = avx512;
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx512Vnni = avx512vnni;
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Neon = neon;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128 = simd128;
}
#[allow(clippy::single_component_path_imports)] // a path to the macro, which `ladder` defines
pub(crate) use dispatch;

/// Whether the processor has a target feature beyond those of its target. No back end of this target asks for one.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
const fn has(_: &str) -> bool {
    false
}
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use processor::has;

/// The layers as methods of a token type, compiled for its instruction set. The bodies are generic and always inlined, so each is
/// compiled anew here with the features enabled; the token, made only where the processor has them, proves that.
///
/// `[feature, …]`: what the entry points are compiled with beyond the target's own, hence what the token asks for; none makes them plain
/// calls.
/// `columns`: how many of a panel's registers one pass over the inputs holds, in a panel of four and in one of two; then, of how many
/// panels of four at once where products are fused, which takes longer than a sum alone and so wants more sums at a time.
/// `tile`: how many of a panel's registers one pass holds, of integer sums and of others, for each of how many dreams.
/// `pixels`: for how many pixels a convolution's pass holds sixteen sums each.
macro_rules! entry_points {
    ($features:tt, columns = [$four:literal, $two:literal, $group:literal], tile = [$integer:literal, $column:literal, $tile:literal],
     pixels = $pixels:literal) => {
        impl Token {
            pub(crate) const FEATURES: &'static [&'static str] = &$features;

            pub(crate) fn detect() -> Option<Self> {
                Self::FEATURES.iter().all(|feature| $crate::kernels::has(feature)).then_some(Self(()))
            }

            entry_points!(@function $features affine, $crate::matvec::affine::<Vectors, $four, $two, $group>,
                (layer: &$crate::layer::Layer<'_>, x: &[f32], scratch: &mut [f32], out: &mut [f32]));
            entry_points!(@function $features affine_tiles, $crate::matvec::affine_tiles::<Vectors, $four, $two, $group, $integer, $column, $tile>,
                (layer: &$crate::layer::Layer<'_>, rows: $crate::matvec::Rows<'_>, scratch: &mut [f32], out: &mut [f32]));
            entry_points!(@function $features convolve, $crate::convolution::convolve::<Vectors, $pixels>,
                (filters: &$crate::convolution::Filters<'_>, window: &$crate::convolution::Window, x: &[f32], out: &mut [f32]));
            entry_points!(@function $features convolve_bytes, $crate::convolution::convolve_bytes::<Vectors, $pixels>,
                (filters: &$crate::convolution::Filters<'_>, window: &$crate::convolution::Window, x: &[u8], out: &mut [u8]));
            entry_points!(@function $features convolve_last, $crate::convolution::convolve_last::<Vectors, $pixels>,
                (filters: &$crate::convolution::Filters<'_>, window: &$crate::convolution::Window, x: &[u8], out: &mut [f32]));
            entry_points!(@function $features numbers, $crate::convolution::numbers,
                (filters: &$crate::convolution::Filters<'_>, scale: f32, bytes: &[u8], x: &mut [f32]));
            entry_points!(@function $features prepare, dreamstep_core::obs::image::prepare,
                (image: &dreamstep_core::obs::Image, tables: [&[i32]; 2], frame: &[u8], stride: usize, scratch: &mut [u8], out: &mut [u8]));
            entry_points!(@function $features whiten, $crate::pointwise::whiten::<Vectors>,
                (mean: &[f32], inv_std: &[f32], clip: f32, obs: &mut [f32]));
            entry_points!(@function $features relu, $crate::pointwise::relu::<Vectors>, (x: &mut [f32]));
            entry_points!(@function $features round, $crate::convolution::round,
                (filters: &$crate::convolution::Filters<'_>, x: &mut [f32]));
            entry_points!(@function $features logistic, $crate::pointwise::logistic::<Vectors>, (x: &mut [f32]));
            entry_points!(@function $features no_nan, $crate::pointwise::no_nan::<Vectors>, (x: &mut [f32]));
            entry_points!(@function $features squash, $crate::pointwise::squash::<Vectors>,
                (squash: dreamstep_core::schema::Squash, u: &mut [f32]));
            entry_points!(@function $features actuate, $crate::pointwise::actuate::<Vectors>,
                (mid: &[f32], half: &[f32], u: &[f32], action: &mut [f32]));
            entry_points!(@function $features lstm_cell, $crate::pointwise::lstm_cell::<Vectors>,
                (gates: &[f32], c: &mut [f32], h: &mut [f32]));
            entry_points!(@function $features gru_cell, $crate::pointwise::gru_cell::<Vectors>,
                (input: &[f32], hidden: &[f32], h: &mut [f32]));
            entry_points!(@function $features draw, $crate::pointwise::draw::<Vectors>,
                (range: [f32; 2], log_var: &[f32], noise: &[f32], z: &mut [f32]));
            entry_points!(@function $features sample, $crate::mdn::sample::<Vectors>,
                (prediction: &$crate::mdn::Prediction<'_>, temperature: f32, uniform: [&[f32]; 2], z: &mut [f32]));
        }
    };
    (@function [] $name:ident, $body:expr, ($($argument:ident: $type:ty),*)) => {
        #[inline]
        pub(crate) fn $name(self, $($argument: $type),*) {
            // A function of its own, so that it is compiled here and not anew in every crate that steps an agent.
            #[inline(never)]
            fn compiled($($argument: $type),*) {
                $body($($argument),*);
            }
            compiled($($argument),*);
        }
    };
    (@function [$($feature:literal),+] $name:ident, $body:expr, ($($argument:ident: $type:ty),*)) => {
        #[inline]
        pub(crate) fn $name(self, $($argument: $type),*) {
            #[target_feature($(enable = $feature),+)]
            fn compiled($($argument: $type),*) {
                $body($($argument),*);
            }
            // SAFETY: a `Token` is made by `Token::detect` alone, which saw that this processor has the features.
            unsafe {
                compiled($($argument),*);
            }
        }
    };
}
pub(crate) use entry_points;
