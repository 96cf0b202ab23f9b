//! How far from the truth is [`dreamstep_core::maths`] at its worst? Every binary32 value there is, all 2³², goes through
//! exp, tanh, sigmoid and ln, and each result is held against f64; every uniform draw there is, all 2²³, goes through the
//! normal quantile.
//!
//! ```sh
//! cargo run --release -p dreamstep-core --example exhaustive_ulp -- --function all --threads 1
//! ```
//!
//! Minutes per function. Exit code 1 where a result is more than 3 ulp off, outside the function's range, or NaN without
//! need; where a NaN that comes out is not the canonical one; or where not every value was visited. Errors are in units of
//! the last place that the *true* value has in binary32; infinity counts as 2¹²⁸, so a result that overflows too early is
//! seen.

use dreamstep_core::maths::{CANONICAL_NAN, exp, ln, normal_quantile, sigmoid, tanh};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// The promise.
const LIMIT_ULP: f64 = 3.0;
/// The quantile is a fit in relative error, not in ulp: binary32 alone is good for 6·10⁻⁸.
const LIMIT_QUANTILE: f64 = 5e-7;
const FLOATS: u64 = 1 << 32;
/// Bit patterns of NaN: two signs, every mantissa but zero.
const NANS: u64 = 2 * ((1 << 23) - 1);
const UNIFORM_DRAWS: u32 = 1 << 23;

/// One function, its truth, and what holds at the ends.
struct Subject {
    name: &'static str,
    reference: fn(f64) -> f64,
    /// Smallest and largest value there is.
    range: (f32, f32),
    /// Argument and result, to be met bit for bit.
    ends: [(f32, f32); 4],
}

const INF: f32 = f32::INFINITY;

fn sigmoid_f64(x: f64) -> f64 {
    // The large exponential stands in no quotient, so that neither side loses its digits.
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

const EXP: Subject = Subject {
    name: "exp",
    reference: f64::exp,
    range: (0.0, INF),
    ends: [(-INF, 0.0), (-0.0, 1.0), (0.0, 1.0), (INF, INF)],
};
const TANH: Subject = Subject {
    name: "tanh",
    reference: f64::tanh,
    range: (-1.0, 1.0),
    ends: [(-INF, -1.0), (-0.0, -0.0), (0.0, 0.0), (INF, 1.0)],
};
const SIGMOID: Subject = Subject {
    name: "sigmoid",
    reference: sigmoid_f64,
    range: (0.0, 1.0),
    ends: [(-INF, 0.0), (-0.0, 0.5), (0.0, 0.5), (INF, 1.0)],
};
const LN: Subject = Subject {
    name: "ln",
    reference: f64::ln,
    range: (-INF, INF),
    ends: [(-INF, CANONICAL_NAN), (-0.0, -INF), (0.0, -INF), (INF, INF)],
};

/// What a stretch of floats showed.
#[derive(Clone, Copy, Default)]
struct Found {
    visited: u64,
    /// Arguments that are NaN.
    nans: u64,
    /// Results that break a rule: a NaN that is not canonical, NaN for a number, a number for NaN, out of range.
    broken: u64,
    first_broken: Option<u32>,
    worst_ulp: f64,
    worst_at: u32,
    /// Results that are not the binary32 nearest to the truth.
    not_nearest: u64,
    /// Places where the function of the next larger float is smaller. All four functions rise; their approximations may
    /// falter.
    falls: u64,
}

impl Found {
    fn join(self, other: Self) -> Self {
        let (worst_ulp, worst_at) = if other.worst_ulp > self.worst_ulp {
            (other.worst_ulp, other.worst_at)
        } else {
            (self.worst_ulp, self.worst_at)
        };
        Self {
            visited: self.visited + other.visited,
            nans: self.nans + other.nans,
            broken: self.broken + other.broken,
            first_broken: self.first_broken.or(other.first_broken),
            worst_ulp,
            worst_at,
            not_nearest: self.not_nearest + other.not_nearest,
            falls: self.falls + other.falls,
        }
    }
}

/// Distance of `got` from `want`, neither NaN, in units of the last place of `want` (as binary32; subnormals share theirs).
fn ulps(got: f32, want: f64) -> f64 {
    const BEYOND: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0; // 2^128
    let place = |value: f64| value.clamp(-BEYOND, BEYOND);
    let exponent = (((want.to_bits() >> 52) & 0x7ff) as i32 - 1023).clamp(-126, 127);
    let ulp = f64::from_bits(((exponent - 23 + 1023) as u64) << 52);
    (place(f64::from(got)) - place(want)).abs() / ulp
}

/// All floats with bits in `from..to`.
fn stretch(subject: &Subject, function: impl Fn(f32) -> f32, from: u64, to: u64) -> Found {
    let mut found = Found::default();
    // The float before the stretch, if it has this sign. NaN compares as no fall.
    let first = from.is_multiple_of(FLOATS / 2);
    let mut before = if first { CANONICAL_NAN } else { function(f32::from_bits((from - 1) as u32)) };
    for bits in from..to {
        let bits = bits as u32;
        let x = f32::from_bits(bits);
        let got = function(x);
        let want = (subject.reference)(f64::from(x));
        found.visited += 1;
        found.nans += u64::from(x.is_nan());
        let fine = if want.is_nan() {
            got.to_bits() == CANONICAL_NAN.to_bits()
        } else {
            let error = ulps(got, want);
            if error > found.worst_ulp {
                (found.worst_ulp, found.worst_at) = (error, bits);
            }
            found.not_nearest += u64::from(got != want as f32);
            // Bits ascend away from zero on both sides.
            found.falls += u64::from(if x.is_sign_negative() { got > before } else { got < before });
            (subject.range.0..=subject.range.1).contains(&got)
        };
        before = got;
        if !fine {
            found.broken += 1;
            found.first_broken.get_or_insert(bits);
        }
    }
    found
}

/// All 2³² floats, in equal stretches; prints the row and says whether everything held.
fn exhaust(subject: &Subject, function: impl Fn(f32) -> f32 + Copy + Send, threads: NonZeroUsize) -> bool {
    let threads = threads.get() as u64;
    let border = |i: u64| FLOATS / threads * i;
    let found = std::thread::scope(|scope| {
        let work = (0..threads).map(|i| {
            let (from, to) = (border(i), if i + 1 == threads { FLOATS } else { border(i + 1) });
            scope.spawn(move || {
                let middle = (FLOATS / 2).clamp(from, to);
                stretch(subject, function, from, middle).join(stretch(subject, function, middle, to))
            })
        });
        let work: Vec<_> = work.collect();
        work.into_iter().map(|thread| thread.join().expect("a stretch does not panic")).fold(Found::default(), Found::join)
    });
    let ends = subject.ends.iter().all(|&(x, y)| function(x).to_bits() == y.to_bits());
    let worst_at = f32::from_bits(found.worst_at);
    println!(
        "{}: worst {:.4} ulp at {:?} (0x{:08x}); {} results not the nearest float; {} falls; {} floats, {} of them NaN",
        subject.name, found.worst_ulp, worst_at, found.worst_at, found.not_nearest, found.falls, found.visited, found.nans
    );
    let mut good = true;
    let mut must = |held: bool, rule: String| {
        if !held {
            println!("{}: FAILED: {rule}", subject.name);
            good = false;
        }
    };
    must(found.worst_ulp <= LIMIT_ULP, format!("expected at most {LIMIT_ULP} ulp"));
    must(found.visited == FLOATS, format!("expected {FLOATS} floats"));
    must(found.nans == NANS, format!("expected {NANS} NaNs"));
    must(ends, format!("expected the bits of {:?} at the ends", subject.ends));
    let first = found.first_broken.unwrap_or_default();
    must(found.broken == 0, format!("{} results out of range or of the wrong NaN, first at 0x{first:08x}", found.broken));
    good
}

/// The z whose cumulative probability is `u`, by Newton's method from `start`: on erf in the middle, on erfc of the nearer
/// tail outside it, where each keeps its digits.
fn quantile_f64(u: f64, start: f64) -> f64 {
    let mut z = start;
    for _ in 0..3 {
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        let excess = if (0.25..=0.75).contains(&u) {
            0.5 * libm::erf(z * FRAC_1_SQRT_2) - (u - 0.5)
        } else if u < 0.5 {
            0.5 * libm::erfc(-z * FRAC_1_SQRT_2) - u
        } else {
            (1.0 - u) - 0.5 * libm::erfc(z * FRAC_1_SQRT_2)
        };
        z -= excess / density;
    }
    z
}

/// Every value that [`dreamstep_core::rng::Philox::uniform`] can take; prints the row and says whether everything held.
fn quantile() -> bool {
    let (mut worst, mut worst_at, mut falls, mut before) = (0.0, 0.0, 0, -INF);
    for k in 0..UNIFORM_DRAWS {
        let u = (k as f32 + 0.5) / UNIFORM_DRAWS as f32; // exact: 24 bits
        let got: f32 = normal_quantile(u);
        let want = quantile_f64(f64::from(u), f64::from(got));
        let error = ((f64::from(got) - want) / want).abs();
        // A NaN is the worst there is, and stays it.
        if error > worst || error.is_nan() {
            (worst, worst_at) = (error, u);
        }
        falls += u32::from(got < before);
        before = got;
    }
    println!(
        "normal_quantile: worst relative error {worst:.3e} at {worst_at:?} (0x{:08x}); {falls} falls; {UNIFORM_DRAWS} draws",
        worst_at.to_bits()
    );
    let good = worst <= LIMIT_QUANTILE;
    if !good {
        println!("normal_quantile: FAILED: expected at most {LIMIT_QUANTILE:e}");
    }
    good
}

fn main() -> ExitCode {
    const USAGE: &str = "usage: exhaustive_ulp [--threads N] [--function exp|tanh|sigmoid|ln|normal_quantile|all]";
    let mut threads = NonZeroUsize::MIN;
    let mut chosen = "all".to_string();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (flag.as_str(), value.parse()) {
            ("--threads", Ok(count)) => threads = count,
            ("--function", _) => chosen = value,
            _ => {
                eprintln!("{USAGE}\nfound `{flag} {value}`");
                return ExitCode::from(2);
            }
        }
    }
    let wanted = |name| chosen == name || chosen == "all";
    let mut results = Vec::new();
    // Closures, so that each function is compiled into its loop.
    if wanted(EXP.name) {
        results.push(exhaust(&EXP, |x: f32| exp(x), threads));
    }
    if wanted(TANH.name) {
        results.push(exhaust(&TANH, |x: f32| tanh(x), threads));
    }
    if wanted(SIGMOID.name) {
        results.push(exhaust(&SIGMOID, |x: f32| sigmoid(x), threads));
    }
    if wanted(LN.name) {
        results.push(exhaust(&LN, |x: f32| ln(x), threads));
    }
    if wanted("normal_quantile") {
        results.push(quantile());
    }
    if results.is_empty() {
        eprintln!("{USAGE}\nfound `--function {chosen}`");
        return ExitCode::from(2);
    }
    if results.iter().all(|&held| held) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
