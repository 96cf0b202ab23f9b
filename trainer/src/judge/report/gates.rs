//! Gates: fixed targets for V and M on held-out episodes, against simple baselines. A falling loss proves nothing.

use super::mdnrnn::MdnrnnFigures;
use super::vae::VaeFigures;
use serde::Serialize;

/// Parts of the observation in which V may not be worse than principal components, where the environment has them: what the body does. The
/// others are contact forces and what follows from these.
const BLOCKS: [&str; 3] = ["qpos", "qvel", "cvel"];
/// V's error is at most this share of that of principal components.
const VAE_SHARE: f64 = 0.9;
/// M's one-step error is at most this share of ridge's.
const MDNRNN_SHARE: f64 = 0.85;
/// M is better than persistence for every k up to this.
const HORIZON: usize = 10;
/// A baseline below this loses nothing but rounding.
const NOTHING: f64 = 1e-6;

/// What a gate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Reached.
    Pass,
    /// Not reached.
    Miss,
    /// Nothing to beat, or nothing to measure on.
    NotApplicable,
    /// The stage has no result.
    NotMeasured,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Miss => "MISS",
            Self::NotApplicable => "not applicable",
            Self::NotMeasured => "not measured",
        }
    }

    fn of(reached: bool) -> Self {
        if reached { Self::Pass } else { Self::Miss }
    }
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// What is measured.
    pub name: String,
    /// What it should be.
    pub target: String,
    /// What it is.
    pub found: String,
    /// The answer.
    pub verdict: Verdict,
}

/// Every gate, V's before M's.
#[must_use]
pub fn gates(vae: Option<&VaeFigures>, mdnrnn: Option<&MdnrnnFigures>) -> Vec<Gate> {
    let mut gates = vae.map_or_else(|| vec![absent("V")], of_vae);
    gates.extend(mdnrnn.map_or_else(|| vec![absent("M")], of_mdnrnn));
    gates
}

fn absent(network: &str) -> Gate {
    let verdict = Verdict::NotMeasured;
    Gate { name: format!("{network}: every gate"), target: "a trained network".into(), found: "none".into(), verdict }
}

fn of_vae(vae: &VaeFigures) -> Vec<Gate> {
    let mut gates = Vec::new();
    for error in vae.blocks.iter().filter(|error| BLOCKS.contains(&error.block.name.as_str())) {
        let (found, target, verdict) = match (error.vae, error.pca) {
            (Some(v), Some(pca)) if pca < NOTHING => (number(v), number(pca), Verdict::NotApplicable),
            (Some(v), Some(pca)) => (number(v), number(pca), Verdict::of(v <= pca)),
            _ => ("nothing varies".into(), "–".into(), Verdict::NotApplicable),
        };
        let name = format!("V: reconstruction error, {}", error.block.name);
        gates.push(Gate { name, target: format!("≤ {target} (PCA)"), found, verdict });
    }
    gates.push(share("V: reconstruction error, overall", vae.nmse, vae.pca_nmse, VAE_SHARE, "PCA"));
    gates
}

fn of_mdnrnn(m: &MdnrnnFigures) -> Vec<Gate> {
    let horizons: Vec<_> = m.open_loop.horizons.iter().take_while(|h| h.k <= HORIZON).collect();
    let last = horizons.last().map_or(0, |h| h.k);
    let found = match m.open_loop.crossover {
        _ if horizons.is_empty() => "no episode is long enough".into(),
        Some(k) => format!("until k = {}", k - 1),
        None => format!("every k ≤ {}", m.open_loop.horizons.len()),
    };
    let verdict = match horizons.is_empty() {
        true => Verdict::NotApplicable,
        false => Verdict::of(horizons.iter().all(|h| h.mdnrnn < h.persistence)),
    };
    // The better of the two linear models, whichever it is.
    let gaussian = m.joint_gaussian_nll_per_dim.unwrap_or(f64::INFINITY).min(m.gaussian_nll_per_dim);
    vec![
        share("M: one-step error in latents", m.latent.mdnrnn, m.latent.ridge, MDNRNN_SHARE, "ridge"),
        Gate {
            name: "M: NLL per latent dimension, nats".into(),
            target: format!("< {} (linear-Gaussian)", number(gaussian)),
            found: number(m.nll_per_dim),
            verdict: Verdict::of(m.nll_per_dim < gaussian),
        },
        Gate {
            name: "M: k steps of open loop better than persistence".into(),
            target: format!("every k ≤ {}", if last > 0 { last } else { HORIZON }),
            found,
            verdict,
        },
    ]
}

/// `found` is at most `share` of `baseline`.
fn share(name: &str, found: f64, baseline: f64, share: f64, of: &str) -> Gate {
    let target = format!("≤ {} ({share} × {of} {})", number(share * baseline), number(baseline));
    let verdict = if baseline < NOTHING { Verdict::NotApplicable } else { Verdict::of(found <= share * baseline) };
    Gate { name: name.into(), target, found: number(found), verdict }
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}
