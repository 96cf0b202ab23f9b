//! `correlate`: the rank correlation of controllers' scores in dreams and their real returns. Controllers of mixed quality for a run's V and M are scored in dreams at several
//! temperatures and in real episodes, and the two orders compared (the question that Ha & Schmidhuber 2018, §4, leave open: which
//! temperature makes a dream tell what holds on the real environment).
//!
//! ```text
//! C of RUN ─▶ × 0, 0.1, … 1.2, each with noise of 0, 0.25, 0.5, 1 × C's size ─┬▶ dreams at each τ ─▶ score  ─┬▶ Spearman's ρ
//!                                                                             └▶ real episodes    ─▶ return ─┘
//! ```
//! All controllers dream the dreams of the same numbers, at every temperature, which evolution never dreams; and play the same episodes.
//! Noise is added on whitened features ([`Whitening`]), where one size suits all. A dream's score is without `controller.reward_offset`,
//! as a return is. Where C was evolved makes no difference.

use crate::agent::controller;
use crate::agent::pack::Ingredients;
use crate::agent::v::Codec;
use crate::control::Whitening;
use crate::control::dream::Score;
use crate::control::dream::engine::Engine;
use crate::control::dream::recorded::Recorded;
use crate::data::dataset::Dataset;
use crate::env;
use crate::env::pool::{Cut, EnvPool, Outcome, Policy};
use crate::judge::plot::{self, Line, Panel, dots};
use crate::judge::table::markdown_table;
use crate::run::config::{Config, DreamConfig, ScoredOn};
use crate::run::folder::{RunDir, write_atomic};
use crate::run::interrupt;
use crate::run::progress::Progress;
use crate::stats::{Estimate, jackknife_variance, spearman};
use crate::world::device::Device;
use crate::world::ensemble;
use anyhow::{Result, anyhow, ensure};
use dreamstep_core::action::Action;
use dreamstep_core::c::ControllerKind;
use dreamstep_core::rng::{Philox, Stream, dream_step};
use dreamstep_runtime::Model;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What C is multiplied by, in tenths: from nothing to beyond.
const TENTHS: std::ops::RangeInclusive<u32> = 0..=12;
/// Standard deviations of the noise, as shares of the root mean square of C's parameters.
const NOISE: [f64; 4] = [0.0, 0.25, 0.5, 1.0];
/// The first dream: far from evolution's, which count from 0 on, and from validation's, which end at `u32::MAX`.
const FIRST_DREAM: u32 = 1 << 31;
/// Controllers that dream between two checks for an interruption.
const CHUNK: usize = 8;
const FIGURE: &str = "correlation.svg";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// τ of the dreams, each above 0.
    pub temperatures: Vec<f64>,
    /// Real episodes of each controller.
    pub episodes: usize,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Perturbations of each factor and size of noise: 13 + 39 a draw controllers; 2 + 39 of a linear one that chooses.
    pub draws: u32,
}

/// A controller, and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// What C was multiplied by.
    pub factor: f64,
    /// The noise added, as a share of C's size.
    pub noise: f64,
    /// Which of several such.
    pub draw: u32,
    /// Sum of rewards of each real episode.
    pub returns: Vec<f64>,
    /// Their mean.
    pub real_return: f64,
    /// Score in dreams at each temperature.
    pub dream_scores: Vec<f64>,
}

/// A temperature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// τ
    pub temperature: f64,
    /// Spearman's ρ of dream score and real return; none where one of them is the same for all controllers.
    pub spearman: Option<f64>,
    /// Its 95 % interval, by the jackknife over episodes and over the draws of each cell of the grid; none of one episode and one draw.
    pub interval: Option<[f64; 2]>,
    /// Mean over controllers.
    pub dream_score: f64,
    /// Mean steps of a dream.
    pub dream_length: f64,
    /// Mean over controllers.
    pub real_return: f64,
    /// Real return of the controller that dreams rank first.
    pub first_choice: f64,
}

/// `correlation.json`; as text, `correlation.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Environment id.
    pub env: String,
    /// What the episodes are under: delays, noise, randomised physics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// Episode i is `reset(seed + i)`.
    pub seed: u64,
    /// Real episodes of each controller.
    pub episodes: usize,
    /// The dreams' settings, but for the temperature; `validation_dreams` dreams of each M a controller.
    pub dream: DreamConfig,
    /// Steps of all dreams.
    pub dream_steps: u64,
    /// Steps of all real episodes.
    pub real_steps: u64,
    /// ρ between the odd and the even episodes: how surely reality ranks them; none of a single episode.
    pub reality_with_itself: Option<f64>,
    /// The greatest real return.
    pub best: f64,
    /// By temperature.
    pub rows: Vec<Row>,
    /// Every controller.
    pub controllers: Vec<Tried>,
}

/// Measures in `run`, which is locked and holds V, M, C and the recorded episodes; writes `correlation.json`, `correlation.md` and a
/// figure. M's of the ensemble that are missing are trained.
///
/// # Errors
/// One line: an ingredient is missing or does not fit, M cannot dream, or an episode failed. [`interrupt::Interrupted`]:
/// nothing is written.
pub fn correlate(config: &Config, run: &RunDir, options: &Options, progress: &Progress) -> Result<Report> {
    env::expect_playable(&config.env)?;
    let ingredients = Ingredients::read_all(run)?;
    let c = ingredients.controller.ok_or_else(|| anyhow!("{}: expected a controller", run.controller().display()))?;
    let mut config = config.clone();
    // C is what its checkpoint says, whatever the configuration says later.
    config.controller.ask_for(&controller::said(&c)?);
    config.controller.squash = controller::said_squash(&c)?.unwrap_or(config.controller.squash);
    (config.controller.scored_on, config.controller.reward_offset) = (ScoredOn::Dreams, 0.0);
    config.validate()?;
    let spec = env::spec(&config.env)?;
    let data = Dataset::open(&run.rollouts(), config.worker_threads())?;
    let agents = ensemble::agents(&config, run, &data, &spec, false)?;
    let load = |agent| Model::load(agent).map_err(|error| anyhow!("base agent: {error}"));
    let models: Vec<Model<'_>> = agents.iter().map(|agent| load(agent)).collect::<Result<_>>()?;
    let (model, dims) = (&models[0], models[0].dims());
    let features = Whitening::measure(model, &data)?;
    let vae = Codec::read(&run.vae())?;
    let recorded = Recorded::gather(&models, &vae, &data, spec.healthy_bonus, Philox::new(config.seed))?;

    let evolved = features.unfold(&controller::read(&c, dims)?);
    ensure!(
        evolved.iter().any(|&value| value != 0.0),
        "{}: expected a controller other than zero, found zeros: multiples of it are all the same",
        run.controller().display()
    );
    // Whatever a linear C that chooses is multiplied by, it chooses the same.
    let multiples_differ = !matches!((dims.action, dims.c.kind), (Action::Discrete { .. }, ControllerKind::Linear));
    let spread = spread(&evolved, options.draws, config.seed, multiples_differ);
    let (mut tried, parameters): (Vec<_>, Vec<_>) = spread.into_iter().unzip();
    let controllers: Vec<Vec<f32>> = parameters.iter().map(|parameters| features.fold(parameters)).collect();
    let panels: Vec<_> = controllers.iter().map(|values| controller::panels(dims, values)).collect::<Result<_>>()?;
    let mut candidates: Vec<Model<'_>> = Vec::with_capacity(panels.len());
    for (index, panels) in panels.iter().enumerate() {
        candidates.push(model.with_controller(panels).map_err(|error| anyhow!("controller {index}: {error}"))?);
    }

    progress.set_total(
        (candidates.len() * (options.episodes + options.temperatures.len() * config.dream.validation_dreams)) as u64,
    );
    let outcomes = play(&config, &candidates, options, progress)?;
    for (tried, outcomes) in tried.iter_mut().zip(outcomes.chunks(options.episodes)) {
        tried.returns = outcomes.iter().map(|outcome| outcome.episode_return).collect();
        tried.real_return = Estimate::of(&tried.returns).mean;
    }
    let mut rows = Vec::new();
    let mut dream_steps = 0;
    for &temperature in &options.temperatures {
        config.dream.temperature = temperature;
        config.validate()?;
        let engine = Engine::new(&config, &agents, &models, &recorded, Device::Cpu)?;
        let scores = dream(&engine, &config, &controllers, progress)?;
        tried.iter_mut().zip(&scores).for_each(|(tried, score)| tried.dream_scores.push(score.value));
        dream_steps += scores.iter().map(|score| score.steps).sum::<u64>();
        rows.push(Row::of(temperature, &scores, &tried));
    }
    let report = Report {
        env: config.env.id.clone(),
        conditions: config.env.conditions(),
        seed: options.seed,
        episodes: options.episodes,
        dream: config.dream,
        dream_steps,
        real_steps: outcomes.iter().map(|outcome| outcome.length).sum(),
        reality_with_itself: halves(&tried),
        best: tried.iter().map(|tried| tried.real_return).fold(f64::NEG_INFINITY, f64::max),
        rows,
        controllers: tried,
    };
    report.write(run)?;
    Ok(report)
}

/// Controllers around the whitened parameters `evolved`: multiples of it (itself and zero, where others do not differ), and multiples with
/// noise.
fn spread(evolved: &[f32], draws: u32, seed: u64, multiples_differ: bool) -> Vec<(Tried, Vec<f32>)> {
    let size = (evolved.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / evolved.len() as f64).sqrt();
    let mut all = Vec::new();
    for draw in 0..draws {
        for (kind, noise) in (0_u32..).zip(NOISE).filter(|&(_, noise)| noise > 0.0 || draw == 0) {
            for tenths in TENTHS.filter(|tenths| multiples_differ || noise > 0.0 || tenths % 10 == 0) {
                let factor = f64::from(tenths) / 10.0;
                let mut parameters = vec![0.0; evolved.len()];
                // Named by its place in the whole, so that more draws add controllers and change none.
                let step = dream_step(draw, kind * (TENTHS.end() + 1) + tenths);
                Philox::new(seed).fill_normal(Stream::Correlation, step, &mut parameters);
                for (value, &evolved) in parameters.iter_mut().zip(evolved) {
                    *value = (factor * f64::from(evolved) + noise * size * f64::from(*value)) as f32;
                }
                let (returns, dream_scores) = (Vec::new(), Vec::new());
                all.push((Tried { factor, noise, draw, returns, real_return: 0.0, dream_scores }, parameters));
            }
        }
    }
    all
}

/// Every candidate's real episodes, one candidate after the other.
fn play(config: &Config, candidates: &[Model<'_>], options: &Options, progress: &Progress) -> Result<Vec<Outcome>> {
    let pool = EnvPool::new(&config.env, config.worker_threads())?;
    pool.map(candidates.len() * options.episodes, |player, job| {
        interrupt::check()?;
        let (candidate, episode) = (&candidates[job / options.episodes], job % options.episodes);
        let outcome = player.episode(Policy::Agent(candidate), options.seed + episode as u64, Cut::default())?;
        progress.add(1);
        Ok(outcome)
    })
}

/// Every candidate's score in dreams as `config` has them.
fn dream(engine: &Engine<'_>, config: &Config, controllers: &[Vec<f32>], progress: &Progress) -> Result<Vec<Score>> {
    let mut scores = Vec::with_capacity(controllers.len());
    for some in controllers.chunks(CHUNK) {
        interrupt::check()?;
        scores.extend(engine.score(some, FIRST_DREAM, config.dream.validation_dreams)?);
        progress.add((some.len() * config.dream.validation_dreams) as u64);
    }
    Ok(scores)
}

/// ρ between the mean returns of the odd and of the even episodes.
fn halves(tried: &[Tried]) -> Option<f64> {
    let half = |skip| -> Vec<f64> {
        let mean =
            |tried: &Tried| Estimate::of(&tried.returns.iter().skip(skip).step_by(2).copied().collect::<Vec<_>>()).mean;
        tried.iter().map(mean).collect()
    };
    if tried.iter().all(|tried| tried.returns.len() > 1) { spearman(&half(0), &half(1)) } else { None }
}

impl Row {
    fn of(temperature: f64, scores: &[Score], tried: &[Tried]) -> Self {
        let dreamed: Vec<f64> = scores.iter().map(|score| score.value).collect();
        let real: Vec<f64> = tried.iter().map(|tried| tried.real_return).collect();
        let mean = |values: &[f64]| Estimate::of(values).mean;
        let correlation = spearman(&dreamed, &real);
        // Of equals the first.
        let first = (0..dreamed.len()).rev().max_by(|&i, &j| dreamed[i].total_cmp(&dreamed[j]));
        Self {
            temperature,
            spearman: correlation,
            interval: interval(&dreamed, tried),
            dream_score: mean(&dreamed),
            dream_length: mean(&scores.iter().map(|score| score.length).collect::<Vec<_>>()),
            real_return: mean(&real),
            first_choice: first.map_or(f64::NAN, |first| real[first]),
        }
    }
}

/// 95 % interval of Spearman's ρ between `dreamed` scores and real returns, by the jackknife within the design: ρ without each of the
/// episodes, which all controllers share, and ρ without each draw of a cell of the grid (factor and size of noise) that has several. The
/// two sources are independent, so that their variances add. The grid's cells themselves were chosen: to leave them out, or to resample
/// them, would count the spread between them as doubt. What dreams leave to chance is not part of it. None where there is nothing to
/// leave out, or ρ is not defined without it.
fn interval(dreamed: &[f64], tried: &[Tried]) -> Option<[f64; 2]> {
    let real: Vec<f64> = tried.iter().map(|tried| tried.real_return).collect();
    let episodes = tried.first().map_or(0, |tried| tried.returns.len());
    let without_episode = |episode: usize| {
        let mean = |tried: &Tried| (tried.returns.iter().sum::<f64>() - tried.returns[episode]) / (episodes - 1) as f64;
        spearman(dreamed, &tried.iter().map(mean).collect::<Vec<_>>())
    };
    let without_controller = |&index: &usize| {
        let others = |values: &[f64]| [&values[..index], &values[index + 1..]].concat();
        spearman(&others(dreamed), &others(&real))
    };
    let mut cells: BTreeMap<[u64; 2], Vec<usize>> = BTreeMap::new();
    for (index, tried) in tried.iter().enumerate() {
        cells.entry([tried.factor, tried.noise].map(f64::to_bits)).or_default().push(index);
    }
    let mut samples: Vec<Vec<Option<f64>>> = Vec::new();
    if episodes > 1 {
        samples.push((0..episodes).map(without_episode).collect());
    }
    samples.extend(cells.values().filter(|cell| cell.len() > 1).map(|cell| cell.iter().map(without_controller).collect()));
    let variances =
        samples.into_iter().map(|sample| Some(jackknife_variance(&sample.into_iter().collect::<Option<Vec<_>>>()?)));
    let variances: Vec<f64> = variances.collect::<Option<_>>()?;
    let (value, reach) = (spearman(dreamed, &real)?, 1.96 * variances.iter().sum::<f64>().sqrt());
    (!variances.is_empty()).then_some([(value - reach).max(-1.0), (value + reach).min(1.0)])
}

impl Report {
    fn write(&self, run: &RunDir) -> Result<()> {
        write_atomic(&run.figures().join(FIGURE), self.figure()?.as_bytes())?;
        let json = format!("{}\n", serde_json::to_string_pretty(self)?);
        write_atomic(&run.root().join("correlation.json"), json.as_bytes())?;
        let picture = "Each point is a controller: its score in dreams, and its mean return in real episodes.";
        let text = format!("{self}\n{picture}\n\n![{picture}](figures/{FIGURE})\n");
        write_atomic(&run.root().join("correlation.md"), text.as_bytes())
    }

    /// A panel for each temperature, a point for each controller.
    fn figure(&self) -> Result<String> {
        let names = NOISE.map(|noise| match noise {
            0.0 => "multiples of C".to_string(),
            _ => format!("noise of {noise} × C"),
        });
        let legend: Vec<_> = names.iter().map(String::as_str).zip((0..).map(dots)).collect();
        let panel = |(at, row): (usize, &Row)| {
            let line = |(colour, noise): (usize, f64)| {
                let own = self.controllers.iter().filter(|tried| tried.noise == noise);
                Line { points: own.map(|tried| (tried.dream_scores[at], tried.real_return)).collect(), style: dots(colour) }
            };
            let correlation = row.spearman.map_or("not defined".into(), |value| format!("{value:.2}"));
            Panel {
                title: format!("temperature {}: rank correlation {correlation}", row.temperature),
                x: "score in dreams".into(),
                y: "real return".into(),
                lines: (0..).zip(NOISE).map(line).collect(),
                ..Panel::default()
            }
        };
        let panels: Vec<_> = self.rows.iter().enumerate().map(panel).collect();
        plot::panels(&format!("{}: controllers in dreams and in real episodes", self.env), &legend, &panels, 2)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { env, seed, episodes, dream, dream_steps, real_steps, controllers, .. } = self;
        writeln!(f, "# {env}: how well dreams rank controllers\n")?;
        if let Some(conditions) = &self.conditions {
            writeln!(f, "The environment with {conditions}.\n")?;
        }
        writeln!(
            f,
            "{} controllers: C times 0 to {}, without and with noise of up to C's own size. Each dreams {} dreams of at most {} steps for each \
             M and temperature ({} M's, {dream_steps} steps in all), and plays {episodes} episodes, reset(seed) for seeds {seed} to {} \
             ({real_steps} steps in all). Rank correlation: Spearman's, with its 95 % interval by the jackknife over the \
             episodes, which all share, and over the draws of each multiple and size of noise.\n",
            controllers.len(),
            f64::from(*TENTHS.end()) / 10.0,
            dream.validation_dreams,
            dream.horizon,
            dream.ensemble,
            seed + *episodes as u64 - 1,
        )?;
        let header = [
            "temperature",
            "rank correlation [95 %]",
            "mean dream score",
            "mean dream length",
            "mean real return",
            "real return of the dreams' first",
        ];
        let cells = |row: &Row| {
            let correlation = match (row.spearman, row.interval) {
                (Some(value), Some([low, high])) => format!("{value:.3} [{low:.3}, {high:.3}]"),
                (Some(value), None) => format!("{value:.3}"),
                _ => "not defined: all the same".into(),
            };
            let Row { temperature, dream_score, dream_length, real_return, first_choice, .. } = row;
            let numbers = [dream_score, dream_length, real_return, first_choice].map(|value| format!("{value:.1}"));
            [temperature.to_string(), correlation].into_iter().chain(numbers).collect()
        };
        f.write_str(&markdown_table(&header, self.rows.iter().map(cells)))?;
        write!(f, "\nThe best real return is {:.1}.", self.best)?;
        if let Some(value) = self.reality_with_itself {
            write!(f, " Between its odd and its even episodes the real return agrees with itself by {value:.3}.")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::nearest_rank;

    #[test]
    fn controllers_are_of_every_kind_and_more_draws_change_none() {
        let evolved: Vec<f32> = (0..400).map(|i| if i % 2 == 0 { 3.0 } else { -1.0 }).collect();
        let size = 5_f64.sqrt();
        let one = spread(&evolved, 1, 7, true);
        assert_eq!(one.len(), 52);
        let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        for (i, (tried, parameters)) in one.iter().enumerate() {
            let left: Vec<f64> =
                parameters.iter().zip(&evolved).map(|(&p, &c)| f64::from(p) - tried.factor * f64::from(c)).collect();
            let rms = (left.iter().map(|v| v * v).sum::<f64>() / 400.0).sqrt();
            assert!((rms - tried.noise * size).abs() <= 0.12 * tried.noise * size + 1e-6, "{tried:?}: {rms}");
            assert!(one[..i].iter().all(|(_, other)| differs(parameters, other) > 390), "{tried:?} is there twice");
        }
        assert!(one[0].1.iter().all(|&value| value == 0.0), "C times nothing");
        assert_eq!(one[10].1, evolved);
        let three = spread(&evolved, 3, 7, true);
        assert_eq!(three.len(), 13 + 3 * 39);
        assert_eq!(three[..52], one[..]);
        assert!(three[52..].iter().all(|(tried, _)| tried.noise > 0.0));
        assert_ne!(spread(&evolved, 1, 8, true)[13].1, one[13].1);
        // Where multiples are the same: zero, C, and those with noise.
        let choosing = spread(&evolved, 1, 7, false);
        assert_eq!((&choosing[0], &choosing[1], &choosing[2..]), (&one[0], &one[10], &one[13..]));
    }

    /// Ten multiples without noise and with four draws of it, whose true scores are the multiple plus normal noise; dreams see these with an
    /// error, reality through 40 noisy episodes.
    fn grid(sample: u64) -> (Vec<f64>, Vec<Tried>) {
        let mut noise = [0.0_f32; 42 * 50];
        Philox::new(3).fill_normal(Stream::Report, sample, &mut noise);
        let of_controller = |(i, noise): (usize, &[f32])| {
            let (factor, draw) = ((i / 5) as f64, (i % 5) as u32);
            let perturbed = if draw == 0 { 0.0 } else { 2.0 };
            let score = factor + perturbed * f64::from(noise[0]);
            let returns: Vec<f64> = noise[2..].iter().map(|&noise| score + 2.0 * f64::from(noise)).collect();
            (score + 0.75 * perturbed * f64::from(noise[1]), Tried { factor, noise: perturbed, draw, ..tried(&returns) })
        };
        noise.chunks(42).enumerate().map(of_controller).unzip()
    }

    #[test]
    fn the_interval_is_of_what_was_drawn_and_not_of_the_design() {
        // Nothing is left to chance: one draw a cell, and episodes that all say the same.
        let exact: Vec<Tried> =
            (0..20).map(|i| Tried { factor: f64::from(i), ..tried(&[f64::from(i * 7 % 20); 5]) }).collect();
        let scores: Vec<f64> = (0..20).map(f64::from).collect();
        let found = spearman(&scores, &exact.iter().map(|tried| tried.real_return).collect::<Vec<_>>()).unwrap();
        assert_eq!(interval(&scores, &exact), Some([found; 2]), "it is in no doubt");
        let once: Vec<Tried> = exact.iter().map(|t| Tried { factor: t.factor, ..tried(&t.returns[..1]) }).collect();
        assert_eq!(interval(&scores, &once), None, "one episode and one draw say nothing of others");
        // Where draws and episodes are random, it is as wide as what other draws and episodes come to.
        let of = |(scores, tried): &(Vec<f64>, Vec<Tried>)| {
            spearman(scores, &tried.iter().map(|tried| tried.real_return).collect::<Vec<_>>()).unwrap()
        };
        let mut correlations: Vec<f64> = (0..1000).map(|sample| of(&grid(sample))).collect();
        let [low, high] = [0.025, 0.975].map(|q| nearest_rank(&mut correlations, q).unwrap());
        let widths = (0..20).map(|sample| {
            let (scores, tried) = grid(sample);
            let [low, high] = interval(&scores, &tried).unwrap();
            high - low
        });
        let width = widths.sum::<f64>() / 20.0;
        assert!((0.75..1.25).contains(&(width / (high - low))), "{width}, in truth {}", high - low);
    }

    fn tried(returns: &[f64]) -> Tried {
        let real_return = Estimate::of(returns).mean;
        Tried { factor: 1.0, noise: 0.0, draw: 0, returns: returns.to_vec(), real_return, dream_scores: Vec::new() }
    }

    #[test]
    fn a_row_says_how_the_two_orders_agree() {
        let score = |value| Score { value, length: 2.0 * value, steps: 1 };
        let scores: Vec<Score> = (0..30).map(|i| score(f64::from(i))).collect();
        let real: Vec<Tried> = (0..30).map(|i| tried(&[f64::from(i * i), f64::from(-i)])).collect();
        let row = Row::of(0.5, &scores, &real);
        // (i² − i) / 2 is 0 for both 0 and 1, and grows from there.
        assert!(row.spearman.unwrap() > 0.999 && row.spearman.unwrap() < 1.0, "{row:?}");
        // Of two episodes that say the contrary nothing is sure.
        let [low, high] = row.interval.unwrap();
        assert!(low < -0.9 && high == 1.0, "{row:?}");
        assert_eq!((row.dream_score, row.dream_length, row.first_choice), (14.5, 29.0, 406.0));
        assert_eq!(halves(&real), Some(-1.0), "the odd episodes say the contrary");
        assert_eq!(halves(&[tried(&[1.0]), tried(&[2.0])]), None);
        let same = Row::of(0.5, &[score(3.0); 30], &real);
        assert_eq!((same.spearman, same.interval, same.first_choice), (None, None, 0.0));
    }
}
