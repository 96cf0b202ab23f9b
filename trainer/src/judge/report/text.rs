//! The report as Markdown.

use super::mdnrnn::{BlockErrors, MdnrnnFigures, ObservationErrors};
use super::open_loop::METHODS;
use super::pictures::Likeness;
use super::vae::VaeFigures;
use super::{Report, gates::Gate};
use crate::judge::table::markdown_table;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// In the order in which the data flow.
const STAGES: [&str; 4] = ["collect", "vae", "mdnrnn", "controller"];
/// Horizons that the table shows; the figure has all.
const HORIZONS: [usize; 8] = [1, 2, 3, 5, 10, 20, 30, 50];
/// Levels of intervals that the table shows.
const LEVELS: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

/// The report; with its pictures, where they lie beside it.
pub(super) fn markdown(report: &Report, figures: bool) -> String {
    let mut text = format!("# Report: {}\n", report.env);
    if let Some(data) = &report.data {
        let _ = write!(
            text,
            "\nMeasured on {} held-out episodes ({} steps), which neither V, M nor a baseline has seen; the baselines are fitted to the {} \
             training episodes. Errors are shares of the variance: 0 is perfect, 1 is what a constant earns.\n",
            data.held_out_episodes, data.held_out_steps, data.train_episodes
        );
    }
    for missing in &report.missing {
        let _ = write!(text, "\nMissing: {missing}.\n");
    }
    for note in &report.history.notes {
        let _ = write!(text, "\nNote: {note}.\n");
    }
    text += "\n## Gates\n\n";
    text += &markdown_table(&["gate", "target", "found", "verdict"], report.gates.iter().map(gate));
    let picture = |text: &mut String, file: &str| {
        if let Some(figure) = report.figures.iter().find(|figure| figures && figure.file == file) {
            let _ = write!(
                text,
                "\n![{}](figures/{file})\n\n{}\n",
                figure.file.trim_end_matches(".svg").trim_end_matches(".png"),
                figure.caption
            );
        }
    };
    if let Some(vae) = &report.vae {
        vision(&mut text, vae);
        picture(&mut text, "blocks.svg");
        picture(&mut text, "vae_frames.png");
        picture(&mut text, "reconstruction.svg");
    }
    if let Some(m) = &report.mdnrnn {
        memory(&mut text, m);
        picture(&mut text, "open_loop.svg");
        picture(&mut text, "coverage.svg");
    }
    if report.vae.is_some() {
        picture(&mut text, "latents.svg");
    }
    controller(&mut text, report);
    picture(&mut text, "rewards.svg");
    training(&mut text, report);
    for file in ["vae_loss.svg", "mdnrnn_loss.svg", "evolution.svg"] {
        picture(&mut text, file);
    }
    text
}

fn gate(gate: &Gate) -> Vec<String> {
    vec![gate.name.clone(), gate.target.clone(), gate.found.clone(), gate.verdict.name().into()]
}

fn vision(text: &mut String, vae: &VaeFigures) {
    *text += "\n## V: reconstruction from the mean latent\n\n";
    let row = |name: &str, size: usize, alive: usize, v: Option<f64>, pca: Option<f64>| {
        vec![name.to_string(), size.to_string(), alive.to_string(), share(v), share(pca)]
    };
    let parts = vae.blocks.iter().map(|e| row(&e.block.name, e.block.size, e.block.alive, e.vae, e.pca));
    let sums = vae.blocks.iter().fold((0, 0), |sum, e| (sum.0 + e.block.size, sum.1 + e.block.alive));
    let overall = row("overall", sums.0, sums.1, Some(vae.nmse), Some(vae.pca_nmse));
    let pca = format!("PCA, {}", vae.pca_components);
    *text += &markdown_table(&["part", "numbers", "of these vary", "V", &pca], parts.chain([overall]));
    if let Some([v, linear]) = &vae.pictures {
        let row = |name: &str, of: &Likeness| {
            vec![name.into(), format!("{:.2}", of.squared_error), format!("{:.2}", of.psnr_db), format!("{:.4}", of.ssim)]
        };
        *text += "\n";
        *text +=
            &markdown_table(&["frames", "squared error a frame", "PSNR (dB)", "SSIM"], [row("V", v), row(&pca, linear)]);
    }
    let kl = &vae.kl_per_latent;
    let mut sorted = kl.clone();
    sorted.sort_by(f64::total_cmp);
    let _ = write!(
        text,
        "\n{} of {} latents in use. KL {:.2} nats: by latent {:.2} to {:.2}, median {:.2}. In {:.2} % of the observations a number was \
         clipped.\n",
        vae.active_latents,
        vae.latent,
        kl.iter().sum::<f64>(),
        sorted.first().unwrap_or(&f64::NAN),
        sorted.last().unwrap_or(&f64::NAN),
        sorted.get(sorted.len() / 2).unwrap_or(&f64::NAN),
        100.0 * vae.clipped_rows
    );
}

fn memory(text: &mut String, m: &MdnrnnFigures) {
    *text += "\n## M: one step ahead\n\n";
    let e = &m.latent;
    let row = |name: &str, e: &ObservationErrors| {
        let errors = [e.reconstruction, e.mdnrnn, e.ridge, e.persistence, e.velocity, e.direct_ridge];
        std::iter::once(name.to_string()).chain(errors.map(share)).collect()
    };
    let latents = ObservationErrors {
        reconstruction: None,
        mdnrnn: Some(e.mdnrnn),
        ridge: Some(e.ridge),
        persistence: Some(e.persistence),
        velocity: Some(e.velocity),
        direct_ridge: None,
    };
    let parts = m.blocks.iter().map(|BlockErrors { block, errors }| row(&block.name, errors));
    let header = ["error", "V alone", "M", "ridge", "persistence", "constant velocity", "ridge without V"];
    *text += &markdown_table(
        &header,
        [row("latents", &latents)].into_iter().chain(parts).chain([row("overall", &m.observation)]),
    );
    *text += "\nBelow the latents: decoded, in whitened observations. \"V alone\" is V's reconstruction of the next observation itself; \
              \"ridge without V\" is fitted to whole observations.\n\n";

    let nll =
        |name: &str, value: Option<f64>| vec![name.to_string(), value.map_or("singular".into(), |v| format!("{v:.4}"))];
    let header = format!("NLL of the next latent ({}), nats per dimension", m.latents);
    *text += &markdown_table(
        &[&header, ""],
        [
            nll("M", Some(m.nll_per_dim)),
            nll("linear-Gaussian, independent", Some(m.gaussian_nll_per_dim)),
            nll("linear-Gaussian, full covariance", m.joint_gaussian_nll_per_dim),
        ],
    );
    *text += "\n";
    let near = |level: f64| m.coverage.iter().find(|row| (row.level - level).abs() < 1e-9);
    let rows = LEVELS.iter().filter_map(|&level| near(level));
    let rows = rows.map(|r| vec![percent(r.level), percent(r.mdnrnn), percent(r.gaussian)]);
    *text += &markdown_table(&["central interval", "M covers", "linear-Gaussian covers"], rows);

    let t = &m.terminal;
    let r2 = |value: Option<f64>| value.map_or("undefined, it is constant".into(), |r2| format!("{r2:.3}"));
    let bonus = match m.healthy_bonus {
        0.0 => String::new(),
        bonus => format!(" without the healthy bonus of {bonus}"),
    };
    *text += "\n";
    let mut rows = vec![vec![format!("reward{bonus}, R²"), r2(m.reward_r2), r2(m.ridge_reward_r2)]];
    if m.healthy_bonus != 0.0 {
        rows.push(vec!["whole reward, R²".into(), r2(m.whole_reward_r2[0]), r2(m.whole_reward_r2[1])]);
    }
    let auroc = t.auroc.map_or("undefined, one class only".into(), |a| format!("{a:.4}"));
    let brier = [t.brier, t.brier_constant].map(|b| format!("{b:.4}"));
    rows.push(vec!["end of the task, AUROC".into(), auroc, "–".into()]);
    rows.push(vec!["end of the task, Brier score (constant)".into(), brier[0].clone(), brier[1].clone()]);
    rows.push(vec!["end of the task, calibration error".into(), format!("{:.4}", t.calibration_error), "–".into()]);
    *text += &markdown_table(&["reward and end", "M", "baseline"], rows);
    let _ = write!(text, "\n{} of {} held-out steps end the task. The reward's baseline is ridge.\n", t.ends, t.steps);

    *text += "\n## M: open loop\n\n";
    let header: Vec<&str> = ["k", "loops"].into_iter().chain(METHODS).collect();
    let shown = m.open_loop.horizons.iter().filter(|h| HORIZONS.contains(&h.k));
    *text += &markdown_table(
        &header,
        shown
            .map(|h| [h.k.to_string(), h.loops.to_string()].into_iter().chain(h.errors().map(|e| share(Some(e)))).collect()),
    );
    if m.open_loop.horizons.iter().any(|h| h.mdnrnn_sampled.is_finite()) {
        *text += "\nA sample errs by the spread that it is drawn with, too";
        *text +=
            if m.latents == "sampled" { ", and M's holds that of V's posterior, on which it was trained.\n" } else { ".\n" };
    }
    let last = m.open_loop.horizons.len();
    let _ = match m.open_loop.crossover {
        Some(k) => write!(text, "\nCrossover: from k = {k} on M is no better than persistence.\n"),
        None if last > 0 => write!(text, "\nNo crossover: M is better than persistence for every k ≤ {last}.\n"),
        None => write!(text, "\nToo few held-out episodes have two steps.\n"),
    };
}

fn controller(text: &mut String, report: &Report) {
    let Some(acting) = &report.acting else { return };
    let returns = &acting.returns;
    let last = returns.seed + returns.episodes as u64 - 1;
    let _ = write!(
        text,
        "\n## C: returns\n\n{} episodes each, reset(seed) for seeds {} to {last}: mean ± standard error; of the return, the interquartile mean \
         (IQM) with its 95 % bootstrap interval too.\n\n",
        returns.episodes, returns.seed
    );
    if let Some(conditions) = &returns.conditions {
        let _ = write!(text, "With {conditions}.\n\n");
    }
    let rows = returns.rows.iter().map(|row| {
        let length = row.length.mean_text(1);
        let distance = row.distance_m.as_ref().map_or("–".into(), |distance| distance.mean_text(2));
        vec![row.policy.into(), row.episode_return.mean_text(1), row.episode_return.iqm_text(1), length, distance]
    });
    *text += &markdown_table(&["policy", "return", "IQM of the return", "length (steps)", "distance (m)"], rows);
}

fn training(text: &mut String, report: &Report) {
    let history = &report.history;
    if history.epochs.is_empty() && history.evolution.is_empty() && history.costs.is_empty() {
        return;
    }
    *text += "\n## Training\n\n";
    let mut rows = Vec::new();
    let mut stages: Vec<_> = history.epochs.iter().collect();
    stages.sort_by_key(|(stage, _)| STAGES.iter().position(|known| known == stage)); // stable
    for (stage, epochs) in stages {
        let best = epochs.iter().min_by(|a, b| a.1.validation.total_cmp(&b.1.validation));
        let best = best.map_or(String::new(), |(epoch, e)| format!("held-out loss {:.4} at epoch {epoch}", e.validation));
        let seconds: f64 = epochs.values().map(|e| e.seconds).sum();
        rows.push(vec![stage.clone(), format!("{} epochs", epochs.len()), best, format!("{seconds:.1} s")]);
    }
    if let Some(last) = history.evolution.last() {
        let best = format!("return {:.1} on the validation episodes", last.best_return);
        let done = format!("{} generations, {} steps", last.generation, last.steps);
        rows.push(vec!["controller".into(), done, best, "–".into()]);
    }
    if !rows.is_empty() {
        *text += &markdown_table(&["stage", "done", "best", "time of the epochs"], rows);
    }
    if !history.costs.is_empty() {
        *text += "\nWhat the stages cost, all their processes added up:\n\n";
        *text += &costs(&history.costs);
    }
}

/// A row for each stage, a column for each thing that one of them counts.
fn costs(costs: &BTreeMap<String, BTreeMap<String, f64>>) -> String {
    let mut stages: Vec<_> = costs.iter().collect();
    stages.sort_by_key(|(stage, _)| STAGES.iter().position(|known| known == stage).unwrap_or(STAGES.len())); // stable
    let columns: BTreeSet<_> = costs.values().flat_map(BTreeMap::keys).collect();
    let columns: Vec<&str> = columns.into_iter().map(String::as_str).collect();
    let number = |value: f64| if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") };
    let row = |(stage, costs): (&String, &BTreeMap<String, f64>)| {
        let cells = columns.iter().map(|&column| costs.get(column).map_or("–".into(), |&value| number(value)));
        std::iter::once(stage.clone()).chain(cells).collect()
    };
    let names = columns.iter().map(|column| column.replace('_', " ")).collect::<Vec<_>>();
    let header: Vec<&str> = std::iter::once("stage").chain(names.iter().map(String::as_str)).collect();
    markdown_table(&header, stages.into_iter().map(row))
}

fn share(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| if value < 1000.0 { format!("{value:.4}") } else { format!("{value:.0}") })
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_stand_in_the_order_of_the_stages_with_every_name() {
        let cost = |names: &[(&str, f64)]| names.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
        let all = [
            ("collect", cost(&[("steps", 30_000.0), ("cpu_seconds", 5.25)])),
            ("mdnrnn", cost(&[("steps", 7.0)])),
            ("vae", cost(&[("seconds", 1.5)])),
        ];
        let expected = "\
            | stage   | cpu seconds | seconds | steps |\n\
            |---------|------------:|--------:|------:|\n\
            | collect |         5.2 |       – | 30000 |\n\
            | vae     |           – |     1.5 |     – |\n\
            | mdnrnn  |           – |       – |     7 |\n";
        assert_eq!(costs(&all.map(|(stage, costs)| (stage.to_string(), costs)).into()), expected);
    }
}
