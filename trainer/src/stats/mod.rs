//! Statistics: the normaliser that every network sees observations through, the linear models that V and M have to beat, and summaries of
//! samples.
//!
//! ```text
//! rows, chunk by chunk ─▶ Spread  (mean, variance)  ─▶ Normalizer
//!                      ├▶ Moments (mean, scatter)   ─▶ Pca, Ridge ─▶ normalised errors, NLL
//!                      └▶ RangeFinder, in passes     ─▶ Pca, of rows too long for a scatter matrix
//! rows, kept                                        ─▶ Softmax
//! ```
//! Sums are taken in `f64`. Memory depends on the number of columns, not on the number of rows, but for [`Softmax`]: [`Spread`] and
//! [`Moments`] take rows in chunks of any size, and two of them add up to one. How the rows are cut changes rounding, so equal bits need equal chunks.

mod bootstrap;
mod initial;
mod linalg;
mod moments;
mod normalizer;
mod pca;
mod range_finder;
mod rank;
mod ridge;
mod scores;
mod softmax;
mod summary;

pub use bootstrap::{RESAMPLES, interquartile_interval, interquartile_mean};
pub use initial::uniform_values;
pub use moments::{Moments, Spread};
pub use normalizer::Normalizer;
pub use pca::Pca;
pub use range_finder::{PASSES, RangeFinder};
pub use rank::{nearest_rank, spearman};
pub use ridge::Ridge;
pub use scores::auroc;
pub use softmax::{Chosen, Softmax};
pub use summary::{Estimate, Quantiles, Summary, jackknife_variance};
