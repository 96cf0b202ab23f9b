//! The report's figures: file name, caption and bytes of each, SVG or PNG.

use super::Report;
use super::acting::Acting;
use super::episode::Shown;
use super::history::{Epoch, Generation};
use super::mdnrnn::MdnrnnFigures;
use super::open_loop::METHODS;
use super::vae::VaeFigures;
use crate::judge::plot::{self, Line, Panel, Style, dashed, solid};
use anyhow::Result;
use ndarray::{ArrayView1, ArrayView2};
use std::collections::BTreeMap;

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// Its name in the run's `figures/`.
    pub file: &'static str,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Every picture that `report` has the numbers for.
pub(super) fn draw(report: &Report, shown: Option<&Shown>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (stage, file, network) in [("vae", "vae_loss.svg", "V"), ("mdnrnn", "mdnrnn_loss.svg", "M")] {
        if let Some(epochs) = report.history.epochs.get(stage).filter(|epochs| !epochs.is_empty()) {
            figures.push(losses(file, network, epochs)?);
        }
    }
    if !report.history.evolution.is_empty() {
        figures.push(evolution(&report.history.evolution)?);
    }
    if let Some(vae) = &report.vae {
        figures.push(blocks(vae)?);
        if let Some(grid) = &vae.grid {
            let caption = format!(
                "Held-out frames; below each V's reconstruction from the mean latent, and that of {} principal components.",
                vae.pca_components
            );
            figures.push(Figure { file: "vae_frames.png", caption, bytes: grid.png()? });
        }
    }
    if let Some(shown) = shown {
        if !shown.names.is_empty() {
            figures.push(reconstruction(shown)?);
        }
        figures.push(latents(shown)?);
    }
    if let Some(m) = &report.mdnrnn {
        if !m.open_loop.horizons.is_empty() {
            figures.push(open_loop(m)?);
        }
        figures.push(coverage(m)?);
    }
    if let Some(acting) = &report.acting {
        figures.push(rewards(acting)?);
    }
    Ok(figures)
}

fn losses(file: &'static str, network: &str, epochs: &BTreeMap<u64, Epoch>) -> Result<Figure> {
    let line = |value: fn(&Epoch) -> f64, style| Line {
        points: epochs.iter().map(|(epoch, e)| (*epoch as f64, value(e))).collect(),
        style,
    };
    let legend = [("training episodes", solid(0)), ("held-out episodes", solid(1))];
    let panel = Panel {
        x: "epoch".into(),
        y: "loss".into(),
        lines: vec![line(|e| e.train, solid(0)), line(|e| e.validation, solid(1))],
        ..Panel::default()
    };
    let caption = format!("Loss of {network} by epoch: where the two curves part, it learns its episodes by heart.");
    Ok(Figure {
        file,
        caption,
        bytes: plot::panels(&format!("{network}: loss by epoch"), &legend, &[panel], 1)?.into_bytes(),
    })
}

fn evolution(generations: &[Generation]) -> Result<Figure> {
    let line = |value: fn(&Generation) -> f64, style| Line {
        points: generations.iter().map(|g| (g.steps, value(g))).collect(),
        style,
    };
    let legend = [("mean of the search distribution", solid(0)), ("best so far", dashed(1))];
    let panel = Panel {
        x: "environment steps".into(),
        y: "return".into(),
        lines: vec![line(|g| g.validation_return, solid(0)), line(|g| g.best_return, dashed(1))],
        ..Panel::default()
    };
    Ok(Figure {
        file: "evolution.svg",
        caption: "Mean return of C on the validation episodes by environment steps spent; the best one is kept.".into(),
        bytes: plot::panels("C: return on the validation episodes", &legend, &[panel], 1)?.into_bytes(),
    })
}

fn blocks(vae: &VaeFigures) -> Result<Figure> {
    let alive = vae.blocks.iter().filter(|error| error.vae.is_some());
    let parts = alive.map(|error| (error.block.name.to_string(), vec![error.vae, error.pca]));
    let groups: Vec<_> = parts.chain([("overall".to_string(), vec![Some(vae.nmse), Some(vae.pca_nmse)])]).collect();
    let pca = format!("PCA, {} components", vae.pca_components);
    Ok(Figure {
        file: "blocks.svg",
        caption: format!(
            "Reconstruction error of V and of {} principal components, as a share of the variance of each part of the observation.",
            vae.pca_components
        ),
        bytes: plot::bars("V: reconstruction error by part", "share of the variance", &[("V", 0), (&pca, 1)], &groups)?
            .into_bytes(),
    })
}

/// A column as points at x = `from`, `from` + 1, …
fn points(column: ArrayView1<f32>, from: usize) -> Vec<(f64, f64)> {
    (from..).map(|t| t as f64).zip(column.iter().map(|&v| f64::from(v))).collect()
}

/// A panel for each column: lines of columns, each from its own x on.
fn traces(names: &[String], tables: &[(ArrayView2<f32>, usize, Style)], y: &str, mark: Option<(f64, &str)>) -> Vec<Panel> {
    let panel = |(column, name): (usize, &String)| Panel {
        title: name.clone(),
        x: "step".into(),
        y: y.into(),
        lines: tables
            .iter()
            .map(|(table, from, style)| Line { points: points(table.column(column), *from), style: *style })
            .collect(),
        marks: mark.iter().map(|(x, text)| (*x, (*text).to_string())).collect(),
        ..Panel::default()
    };
    names.iter().enumerate().map(panel).collect()
}

fn reconstruction(shown: &Shown) -> Result<Figure> {
    let mut tables = vec![(shown.recorded.view(), 0, solid(5)), (shown.reconstructed.view(), 0, solid(0))];
    let mut legend = vec![("recorded", solid(5)), ("V's reconstruction", solid(0))];
    if let Some(predicted) = &shown.predicted {
        tables.push((predicted.view(), 1, dashed(1)));
        legend.push(("M's prediction one step ahead, decoded", dashed(1)));
    }
    let title = format!("Held-out episode, reset({})", shown.seed);
    let panels = traces(&shown.names, &tables, "standard deviations", None);
    Ok(Figure {
        file: "reconstruction.svg",
        caption: "The number that varies most in each part of the observation (whitened) over one held-out episode, as recorded, as V \
                  reconstructs it, and as M predicted it one step before."
            .into(),
        bytes: plot::panels(&title, &legend, &panels, 2)?.into_bytes(),
    })
}

fn latents(shown: &Shown) -> Result<Figure> {
    let names: Vec<_> = shown.latent_numbers.iter().map(|j| format!("z[{j}]")).collect();
    let mut tables = vec![(shown.latents.view(), 0, solid(5))];
    let mut legend = vec![("V's mean", solid(5))];
    let mut mark = None;
    if let Some((from, table)) = &shown.open_loop {
        tables.push((table.view(), from + 1, solid(1)));
        legend.push(("M's open loop, fed its own mean", solid(1)));
        mark = Some((*from as f64, "open loop"));
    }
    let title = format!("Latents of the held-out episode, reset({})", shown.seed);
    Ok(Figure {
        file: "latents.svg",
        caption:
            "The latents that vary most over the same episode, and where M's open loop with the recorded actions takes them."
                .into(),
        bytes: plot::panels(&title, &legend, &traces(&names, &tables, "", mark), 2)?.into_bytes(),
    })
}

fn open_loop(m: &MdnrnnFigures) -> Result<Figure> {
    let styles = [solid(0), dashed(0), solid(1), solid(2), solid(3)];
    let line = |i: usize| Line {
        points: m.open_loop.horizons.iter().map(|h| (h.k as f64, h.errors()[i])).collect(),
        style: styles[i],
    };
    let legend: Vec<_> = METHODS.into_iter().zip(styles).collect();
    let crossover = m.open_loop.crossover.map(|k| (k as f64, format!("crossover, k = {k}")));
    let panel = Panel {
        x: "k, steps since the last recorded latent".into(),
        y: "squared error / variance".into(),
        lines: (0..METHODS.len()).map(line).collect(),
        log_y: true,
        // A velocity kept up for 50 steps would leave the others in a corner.
        y_max: Some(20.0),
        marks: crossover.into_iter().collect(),
        ..Panel::default()
    };
    Ok(Figure {
        file: "open_loop.svg",
        caption: "Error in latents after k steps of open loop with the recorded actions (1 is a constant); the crossover is the first k at \
                  which M's mean is no better than assuming that nothing changes."
            .into(),
        bytes: plot::panels("M: open loop on held-out episodes", &legend, &[panel], 1)?.into_bytes(),
    })
}

fn coverage(m: &MdnrnnFigures) -> Result<Figure> {
    let line = |value: fn(&super::mdnrnn::CoverageRow) -> f64, style| Line {
        points: m.coverage.iter().map(|row| (row.level, value(row))).collect(),
        style,
    };
    let intervals = Panel {
        title: "central intervals".into(),
        x: "share that should lie inside".into(),
        y: "share that does".into(),
        lines: vec![line(|r| r.level, dashed(5)), line(|r| r.mdnrnn, solid(0)), line(|r| r.gaussian, solid(1))],
        ..Panel::default()
    };
    let bins = m.terminal.bins.iter().map(|bin| (bin.predicted, bin.found)).collect();
    let terminal = Panel {
        title: "end of the task".into(),
        x: "predicted probability (ten bins of equally many steps)".into(),
        y: "share that ended".into(),
        lines: vec![Line { points: vec![(0.0, 0.0), (1.0, 1.0)], style: dashed(5) }, Line { points: bins, style: solid(0) }],
        ..Panel::default()
    };
    let legend = [("calibrated", dashed(5)), ("M", solid(0)), ("linear-Gaussian", solid(1))];
    Ok(Figure {
        file: "coverage.svg",
        caption: "How often the next latent lies in the central intervals that M's marginals promise, and how often the task ends where M \
                  says so: below the diagonal is too sure of itself."
            .into(),
        bytes: plot::panels("M: does it know what it does not know?", &legend, &[intervals, terminal], 2)?.into_bytes(),
    })
}

fn rewards(acting: &Acting) -> Result<Figure> {
    let styles = [solid(0), solid(1), solid(2)];
    let lines = |cumulative: bool| {
        let of = |(rewards, style): (&super::acting::Rewards, Style)| {
            let sums = rewards.rewards.iter().scan(0.0, |sum, &reward| {
                *sum = if cumulative { *sum + reward } else { reward };
                Some(*sum)
            });
            Line { points: (1..).map(f64::from).zip(sums).collect(), style }
        };
        acting.rewards.iter().zip(styles).map(of).collect()
    };
    let panel = |title: &str, cumulative| Panel {
        title: title.into(),
        x: "step".into(),
        y: "reward".into(),
        lines: lines(cumulative),
        ..Panel::default()
    };
    let legend: Vec<_> = acting.rewards.iter().map(|r| r.policy).zip(styles).collect();
    let title = format!("C: one episode of each policy, reset({})", acting.seed);
    Ok(Figure {
        file: "rewards.svg",
        caption: "Reward step by step and added up, of the agent, the random policy and the zero action, from the same start; a line that \
                  ends early has fallen."
            .into(),
        bytes: plot::panels(&title, &legend, &[panel("step by step", false), panel("cumulative", true)], 2)?.into_bytes(),
    })
}
