//! `report`: V, M and C measured on the episodes that training never saw, beside simple baselines, with a verdict on each gate; written to
//! `report.md` with figures.
//!
//! ```text
//! training episodes ─▶ moments ─▶ PCA, ridge ─┐
//! held-out episodes ─▶ V, M ──────────────────┴▶ errors, NLL, coverage, open loops ─▶ gates
//! metrics.jsonl ─▶ curves, costs          agent.safetensors ─▶ returns, rewards          └▶ report.md, figures/*.{svg,png}
//! ```
//! Episodes are read a few at a time, twice at most: the training episodes for what the baselines are fitted to, the held-out ones for
//! everything that is measured. Whatever is missing is named, and the rest is reported. The same run gives the same bytes.

pub mod acting;
pub mod calibration;
pub mod episode;
pub mod errors;
mod figures;
pub mod gates;
pub mod history;
pub mod mdnrnn;
pub mod open_loop;
pub mod pictures;
pub mod recorded;
mod text;
pub mod vae;

use crate::data::rollouts;
use crate::data::split::Split;
use crate::env::{self, EnvSpec};
use crate::run::checkpoint::{Checkpoint, meta};
use crate::run::config::Config;
use crate::run::folder::{RunDir, write_atomic};
use crate::run::interrupt;
use crate::run::progress::Progress;
use crate::stats::{Moments, PASSES, Pca, RangeFinder};
use crate::world::stage::data_line;
use crate::world::trained::{TrainedMdnRnn, TrainedVae};
use acting::{Acting, act};
use anyhow::{Context, Result, ensure};
use dreamstep_core::names::metadata;
use dreamstep_core::rng::Philox;
use episode::Shown;
use errors::Block;
use figures::Figure;
use gates::{Gate, Verdict, gates};
use history::History;
use mdnrnn::MdnrnnFigures;
use recorded::{Chunk, HELD_OUT_DRAWS, Recorded};
use serde::Serialize;
use tch::{Device, Tensor};
use vae::VaeFigures;

/// How C is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Episodes of each policy; 0 for none.
    pub episodes: usize,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Workers.
    pub threads: usize,
}

/// What there is to say about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
    /// How many episodes V and M were measured on; none without V or recorded episodes.
    pub data: Option<Data>,
    /// Every target, reached or not.
    pub gates: Vec<Gate>,
    /// What could not be reported, and what makes it.
    pub missing: Vec<String>,
    /// V.
    pub vae: Option<VaeFigures>,
    /// M.
    pub mdnrnn: Option<MdnrnnFigures>,
    /// C.
    pub acting: Option<Acting>,
    /// Curves and costs.
    pub history: History,
    #[serde(skip)]
    figures: Vec<Figure>,
}

/// What was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Data {
    /// Episodes that the baselines were fitted to, which are those that V and M learned from.
    pub train_episodes: usize,
    /// Episodes that everything was measured on.
    pub held_out_episodes: usize,
    /// Steps of these.
    pub held_out_steps: usize,
}

impl Report {
    /// Whether every gate that applies was measured and reached.
    #[must_use]
    pub fn failed(&self) -> Vec<&Gate> {
        self.gates.iter().filter(|gate| matches!(gate.verdict, Verdict::Miss | Verdict::NotMeasured)).collect()
    }

    /// Writes `report.md` and its figures into the run.
    ///
    /// # Errors
    /// One line naming the file that cannot be written.
    pub fn write(&self, run: &RunDir) -> Result<()> {
        for figure in &self.figures {
            write_atomic(&run.figures().join(figure.file), &figure.bytes)?;
        }
        write_atomic(&run.report(), text::markdown(self, true).as_bytes())
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::markdown(self, false))
    }
}

/// Measures everything that is there.
///
/// # Errors
/// One line: a result is damaged, of another environment, or was trained on other episodes than those that are there; or an episode cannot
/// be read. [`interrupt::Interrupted`].
pub fn report(config: &Config, run: &RunDir, options: &Options) -> Result<Report> {
    tch::set_num_threads(config.torch_threads as i32);
    let spec = env::spec(&config.env)?;
    let mut missing = Vec::new();
    let mut expect = |there: bool, what: &str, command: &str| {
        if !there {
            missing.push(format!("{what}; run `dreamstep {command}`"));
        }
        there
    };
    let has_episodes = run.rollouts().exists() && !rollouts::list(&run.rollouts())?.is_empty();
    expect(has_episodes, "no recorded episodes", "collect");
    let has_vae = expect(run.vae().exists(), "V is not trained", "train --stage vae");
    let has_mdnrnn = expect(run.mdnrnn().exists(), "M is not trained", "train --stage mdnrnn");
    let has_agent = expect(run.agent().exists(), "no agent", "train --stage controller` and `dreamstep pack");

    let networks =
        (has_vae && has_episodes).then(|| Networks::measure(run, &spec, has_mdnrnn, options.threads)).transpose()?;
    let (data, vae, mdnrnn, shown) = match networks {
        Some(Networks { data, vae, mdnrnn, shown }) => (Some(data), Some(vae), mdnrnn, shown),
        None => (None, None, None, None),
    };
    let plays = has_agent && options.episodes > 0 && !config.env.is_recorded();
    if config.env.is_recorded() {
        missing.push("returns of C: recorded data have no simulator to play episodes in".into());
    }
    let acting = plays.then(|| act(run, &config.env, options.seed, options.episodes, options.threads)).transpose()?;
    let history = History::read(run)?;
    let gates = gates(vae.as_ref(), mdnrnn.as_ref());
    let mut report =
        Report { env: config.env.id.clone(), data, gates, missing, vae, mdnrnn, acting, history, figures: Vec::new() };
    report.figures = figures::draw(&report, shown.as_ref())?;
    Ok(report)
}

/// V and M, measured.
struct Networks {
    data: Data,
    vae: VaeFigures,
    mdnrnn: Option<MdnrnnFigures>,
    shown: Option<Shown>,
}

impl Networks {
    fn measure(run: &RunDir, spec: &EnvSpec, has_mdnrnn: bool, threads: usize) -> Result<Self> {
        let (seed, fraction) = split_of(run, spec)?;
        let vae = TrainedVae::read(&run.vae(), Device::Cpu)?;
        let obs = vae.shape.obs;
        ensure!(
            obs == spec.obs,
            "{}: expected observations of {} for {}, found {obs}",
            run.vae().display(),
            spec.obs,
            spec.id
        );
        let m = has_mdnrnn.then(|| TrainedMdnRnn::read(run)).transpose()?;
        let recorded = Recorded::open(&run.rollouts(), spec, seed, fraction, threads)?;
        check_data(run, &recorded)?;

        // ---- what the baselines are fitted to
        let frame = recorded.frame();
        let components = vae.shape.latent.min(spec.obs);
        let mut linear = match frame {
            None => Linear::Vectors(Moments::new(spec.obs)),
            Some(_) => Linear::Frames(RangeFinder::new(spec.obs, components, Philox::new(seed))?),
        };
        let mut fit = m.as_ref().map(|m| mdnrnn::Fit::new(m, spec, frame.is_some()));
        each_chunk("report: training episodes", &recorded, &recorded.split.train, &vae, spec, |number, chunk| {
            linear.add(&chunk.x)?;
            fit.as_mut().map_or(Ok(()), |fit| fit.add(chunk, seed, number))
        })?;
        let pca = linear.finish(components, &recorded, &vae)?;

        // ---- what everything is measured on
        let blocks = Block::all(&spec.blocks, &vae.preprocessing.alive(spec.obs));
        let held_out_steps = recorded.steps(&recorded.split.validation);
        let mut measure_v = vae::Measure::new(pca, vae.shape.latent, frame);
        let mut measure_m = match (&m, &fit) {
            (Some(m), Some(fit)) => Some((m, mdnrnn::Measure::new(m, spec, fit, seed, held_out_steps)?)),
            _ => None,
        };
        let mut shown = None;
        each_chunk("report: held-out episodes", &recorded, &recorded.split.validation, &vae, spec, |number, chunk| {
            if shown.is_none() {
                shown = Some(Shown::of(chunk, &vae, m.as_ref(), &blocks)?);
            }
            measure_v.add(&vae, chunk)?;
            let measure_m = measure_m.as_mut();
            measure_m.map_or(Ok(()), |(m, measure)| measure.add(&vae, m, chunk, HELD_OUT_DRAWS | number))
        })?;
        let data = Data {
            train_episodes: recorded.split.train.len(),
            held_out_episodes: recorded.split.validation.len(),
            held_out_steps,
        };
        let mdnrnn = measure_m.map(|(m, measure)| measure.finish(m, &blocks));
        Ok(Self { data, vae: measure_v.finish(&blocks)?, mdnrnn, shown })
    }
}

/// What principal components are fitted by.
enum Linear {
    Vectors(Moments),
    Frames(RangeFinder),
}

impl Linear {
    fn add(&mut self, x: &Tensor) -> Result<()> {
        let rows = errors::host(x)?;
        match self {
            Self::Vectors(moments) => moments.add(rows.view()),
            Self::Frames(pass) => pass.add(rows.view()),
        }
        Ok(())
    }

    /// The components, after what passes over the training episodes they still take.
    fn finish(self, components: usize, recorded: &Recorded, vae: &TrainedVae) -> Result<Pca> {
        let mut pass = match self {
            Self::Vectors(moments) => return Pca::fit(&moments, components),
            Self::Frames(pass) => pass,
        };
        let ids = &recorded.split.train;
        let progress = Progress::new("report: principal components", ((PASSES - 1) * ids.len()) as u64, "episodes");
        for _ in 1..PASSES {
            pass = pass.next()?;
            for episodes in recorded.read(ids) {
                interrupt::check()?;
                let episodes = episodes?;
                pass.add(errors::host(&recorded::seen(&episodes, vae)?)?.view());
                progress.add(episodes.len() as u64);
            }
        }
        pass.finish()
    }
}

/// Hands the episodes `ids`, chunk by chunk, to `work`, with the chunk's number.
fn each_chunk(
    label: &str,
    recorded: &Recorded,
    ids: &[usize],
    vae: &TrainedVae,
    spec: &EnvSpec,
    mut work: impl FnMut(u64, &Chunk) -> Result<()>,
) -> Result<()> {
    let progress = Progress::new(label, ids.len() as u64, "episodes");
    for (number, episodes) in (0..).zip(recorded.read(ids)) {
        interrupt::check()?;
        let chunk = Chunk::new(episodes?, vae, spec)?;
        work(number, &chunk)?;
        progress.add(chunk.episodes.len() as u64);
    }
    Ok(())
}

/// The seed and the fraction of the split that V was trained with: `config.toml` may say something else by now.
fn split_of(run: &RunDir, spec: &EnvSpec) -> Result<(u64, f64)> {
    let file = Checkpoint::read(&run.vae())?;
    let env: String = file.meta(metadata::ENV)?;
    ensure!(env == spec.id, "{}: expected a V of {}, found one of {env}", file.origin, spec.id);
    // Only these two are read, so that a run of another version's settings can be reported on.
    let values: toml::Table = file.meta::<String>(meta::CONFIG)?.parse().with_context(|| origin(&file, "settings"))?;
    let seed = values.get("seed").and_then(toml::Value::as_integer).and_then(|seed| u64::try_from(seed).ok());
    let fraction = values.get("vae").and_then(|vae| vae.get("validation")?.as_float());
    let seed = seed.with_context(|| origin(&file, "a seed"))?;
    Ok((seed, fraction.with_context(|| origin(&file, "vae.validation"))?))
}

fn origin(file: &Checkpoint, expected: &str) -> String {
    format!("{}: metadata {}: expected {expected} in it", file.origin, meta::CONFIG)
}

/// That V and M were trained on as many episodes as are there: with others, the split holds out what they have seen.
fn check_data(run: &RunDir, recorded: &Recorded) -> Result<()> {
    let Split { train, validation } = &recorded.split;
    let [train, validation] = [train, validation].map(|ids| (ids.len(), recorded.steps(ids)));
    let found = data_line(train, validation);
    for path in [run.vae(), run.mdnrnn()].into_iter().filter(|path| path.exists()) {
        let file = Checkpoint::read(&path)?;
        // A checkpoint that does not say (one that was imported) is believed.
        let expected = file.metadata.get(meta::DATA).unwrap_or(&found);
        ensure!(
            *expected == found,
            "{}: expected what {} was trained on, {expected}; found {found}",
            run.rollouts().display(),
            path.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
