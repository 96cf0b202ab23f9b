//! Which instructions compute the layers? A back end is one file that says what a register of sixteen binary32 lanes is on its
//! instruction set; the layers ([`crate::layers`]) are written once over that register, and the safe portable one specifies
//! what all must compute, bit for bit.
//!
//! [`Isa`] is the one dispatch ladder. A variant of it exists only where the processor was seen to run it.

use dreamstep_core::dims::LANES;
use dreamstep_core::maths::Lane;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;

/// Sixteen lanes that move between registers and memory.
pub(crate) trait F32x16: Lane {
    /// Reads sixteen values.
    fn load(from: &[f32; LANES]) -> Self;
    /// Writes sixteen values.
    fn store(self, to: &mut [f32; LANES]);
}

/// An implementation of the kernels, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Safe Rust for any target: the specification.
    Portable,
    /// 256-bit vectors (x86-64 with AVX2).
    Avx2,
    /// 512-bit vectors (x86-64 with AVX-512F).
    Avx512,
}

impl Backend {
    /// All back ends, the specification first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The widest that this processor runs.
    #[must_use]
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
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
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// A back end that this processor runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Token),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Token),
}

impl Isa {
    pub(crate) fn new(backend: Backend) -> Option<Self> {
        match backend {
            Backend::Portable => Some(Self::Portable),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::Token::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => avx512::Token::detect().map(Self::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Avx2 | Backend::Avx512 => None,
        }
    }

    pub(crate) const fn backend(self) -> Backend {
        match self {
            Self::Portable => Backend::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Backend::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Backend::Avx512,
        }
    }
}

/// Calls a layer of [`crate::layers`] on a back end.
macro_rules! dispatch {
    ($isa:expr, $layer:ident($($argument:expr),* $(,)?)) => {
        match $isa {
            $crate::kernels::Isa::Portable => $crate::layers::$layer::<$crate::kernels::portable::Register>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::Isa::Avx2(token) => token.$layer($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::Isa::Avx512(token) => token.$layer($($argument),*),
        }
    };
}
pub(crate) use dispatch;

/// The layers of [`crate::layers`] as methods of a token type, compiled for its instruction set. The bodies are generic and always
/// inlined, so each is compiled anew here with the features enabled; the token proves that the processor has them.
#[cfg(target_arch = "x86_64")]
macro_rules! entry_points {
    ($feature:literal) => {
        impl Token {
            entry_points!(@layer $feature, encode(model: &$crate::model::Model<'_>, work: &mut $crate::agent::Work<'_>));
            entry_points!(@layer $feature, control(model: &$crate::model::Model<'_>, work: &mut $crate::agent::Work<'_>));
            entry_points!(@layer $feature, remember(model: &$crate::model::Model<'_>, work: &mut $crate::agent::Work<'_>));
            entry_points!(@layer $feature,
                head(gmm: &$crate::model::Layer<'_>, work: &mut $crate::agent::Work<'_>));
        }
    };
    (@layer $feature:literal, $name:ident($($argument:ident: $type:ty),*)) => {
        #[inline]
        pub(crate) fn $name(self, $($argument: $type),*) {
            #[target_feature(enable = $feature)]
            fn compiled($($argument: $type),*) {
                $crate::layers::$name::<Register>($($argument),*);
            }
            // SAFETY: a `Token` is made by `Token::detect` alone, which saw that this processor has the feature.
            unsafe { compiled($($argument),*) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use entry_points;
