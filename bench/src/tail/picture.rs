//! What does the tail look like? The share of ticks that took at least so long, `act` on the left and the whole tick on the right, a curve
//! for each row; both axes logarithmic, since one tick in 60,000 matters here.

use crate::machine::Machine;
use crate::tail::{Condition, Plan, Row, Setup, Times};
use anyhow::{Context, Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1400, 700);
const FONT: &str = "sans-serif";

/// Writes the rows that were measured as an SVG picture.
///
/// # Errors
/// No row was measured, or the file cannot be written.
pub fn write_svg(path: &Path, plan: &Plan, machine: &Machine, rows: &[Row]) -> Result<()> {
    let text = draw(plan, machine, rows)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A row's curve: its name, its style, its points in both panels.
struct Curve<'r> {
    name: String,
    style: ShapeStyle,
    dashed: bool,
    panels: [&'r Times; 2],
}

fn draw(plan: &Plan, machine: &Machine, rows: &[Row]) -> Result<String> {
    let curves: Vec<_> = rows.iter().filter_map(curve).collect();
    ensure!(!curves.is_empty(), "--svg: expected a row to draw, found none that was measured");
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        let kind = if machine.virtual_machine { " (virtual)" } else { "" };
        let (heading, panels) = root.split_vertically(94);
        let lines = [
            (format!("Share of ticks that took at least so long: {}", plan.title()), 22, 10),
            (
                format!(
                    "{}, {} cores{kind}; {}; commit {}",
                    machine.processor, machine.cores, machine.system, machine.commit
                ),
                15,
                40,
            ),
        ];
        for (line, size, y) in lines {
            heading.draw(&Text::new(line, (16, y), (FONT, size))).map_err(drawing)?;
        }
        // Above both panels: within one, it would hide curves.
        for (curve, x) in curves.iter().zip((16..).step_by(220)) {
            for part in if curve.dashed { vec![(0, 8), (12, 20), (24, 32)] } else { vec![(0, 32)] } {
                heading.draw(&PathElement::new([(x + part.0, 78), (x + part.1, 78)], curve.style)).map_err(drawing)?;
            }
            heading.draw(&Text::new(curve.name.clone(), (x + 42, 70), (FONT, 16))).map_err(drawing)?;
        }
        let (left, right) = panels.split_horizontally(SIZE.0 / 2);
        let period_us = plan.pace.period_ns as f64 / 1e3;
        panel(&left, &curves, 0, "time of act, µs", None).map_err(drawing)?;
        panel(&right, &curves, 1, "from the tick's due time to its end, µs", Some(period_us)).map_err(drawing)?;
        root.present().map_err(drawing)?;
    }
    Ok(text)
}

fn drawing<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// Colours that people who see no red or no green tell apart (Okabe and Ito), by set-up; dashed when idle.
fn curve(row: &Row) -> Option<Curve<'_>> {
    let measured = row.outcome.as_ref().ok()?;
    let colour = match row.setup {
        Setup::Plain => RGBColor(213, 94, 0),
        Setup::Pinned => RGBColor(0, 114, 178),
        Setup::Realtime => RGBColor(0, 158, 115),
    };
    let style = colour.stroke_width(2);
    Some(Curve {
        name: row.name(),
        style,
        dashed: row.condition == Condition::Idle,
        panels: [&measured.act, &measured.whole],
    })
}

/// Round numbers: `digits` of every decade that a time or a share may lie in, rising.
fn round_numbers(digits: &[f64]) -> Vec<f64> {
    (-9..=10).flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade))).collect()
}

/// The round numbers from the last that is not above the least of `values` to the first that is not below the greatest.
fn axis(values: impl Iterator<Item = f64> + Clone, digits: &[f64]) -> Vec<f64> {
    let (least, greatest) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    let numbers = round_numbers(digits);
    let from = numbers.iter().rposition(|&number| number <= least).unwrap_or(0);
    let to = numbers.iter().position(|&number| number >= greatest).unwrap_or(numbers.len() - 1);
    numbers[from..=to.max(from + 1)].to_vec()
}

/// The corners of the stairs through `points`, slowest first: the share holds from each time down to the next one that was observed.
fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corners = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    corners.chain(points.last().copied()).collect()
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    curves: &[Curve<'_>],
    at: usize,
    title: &str,
    period_us: Option<f64>,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    // Over both panels, so that they compare.
    let points = || curves.iter().flat_map(|curve| curve.panels).flat_map(|times| times.slower_than.iter());
    let (times, shares) =
        (axis(points().map(|point| point.0), &[1.0, 2.0, 5.0]), axis(points().map(|point| point.1), &[1.0]));
    let range = |numbers: &[f64]| (numbers[0]..numbers[numbers.len() - 1]).log_scale();
    let mut chart =
        ChartBuilder::on(area).margin(10).margin_right(32).x_label_area_size(52).y_label_area_size(72).build_cartesian_2d(
            range(&times).with_key_points(times.clone()),
            range(&shares).with_key_points(shares.clone()),
        )?;
    chart
        .configure_mesh()
        .x_desc(title)
        .y_desc("share of ticks")
        .x_label_formatter(&|us| label(*us))
        .y_label_formatter(&|share| label(*share))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    if let Some(period_us) = period_us.filter(|us| (times[0]..times[times.len() - 1]).contains(us)) {
        let top = shares[shares.len() - 1];
        chart.draw_series(LineSeries::new([(period_us, shares[0]), (period_us, top)], BLACK.stroke_width(1)))?;
        let text = EmptyElement::at((period_us, top)) + Text::new("deadline", (6, 6), (FONT, 15));
        chart.draw_series([text])?;
    }
    for curve in curves {
        let points = stairs(&curve.panels[at].slower_than).into_iter();
        if curve.dashed {
            chart.draw_series(DashedLineSeries::new(points, 7, 5, curve.style))?;
        } else {
            chart.draw_series(LineSeries::new(points, curve.style))?;
        }
    }
    Ok(())
}

/// A round number, without digits that say nothing.
fn label(value: f64) -> String {
    let decimals = (-(value.log10() + 1e-9).floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_every_value_between_round_numbers() {
        let of = |values: &[f64], digits| axis(values.iter().copied(), digits).into_iter().map(label).collect::<Vec<_>>();
        assert_eq!(of(&[15.0, 70.0], &[1.0, 2.0, 5.0]), ["10", "20", "50", "100"]);
        assert_eq!(of(&[20.0, 50.0], &[1.0, 2.0, 5.0]), ["20", "50"]);
        assert_eq!(of(&[0.3], &[1.0, 2.0, 5.0]), ["0.2", "0.5"]);
        assert_eq!(of(&[1.0 / 600.0, 1.0], &[1.0]), ["0.001", "0.01", "0.1", "1"]);
        // One value that is a round number, and a clock that saw no time pass.
        assert_eq!(of(&[1.0], &[1.0]), ["1", "10"]);
        assert!(axis([0.0, 3.0].into_iter(), &[1.0])[0] > 0.0);
    }

    #[test]
    fn stairs_go_down_where_a_tick_was_observed() {
        let corners = stairs(&[(30.0, 0.25), (20.0, 0.5), (10.0, 1.0)]);
        assert_eq!(corners, [(30.0, 0.25), (20.0, 0.25), (20.0, 0.5), (10.0, 0.5), (10.0, 1.0)]);
        assert_eq!(stairs(&[(5.0, 1.0)]), [(5.0, 1.0)]);
    }

    #[test]
    fn the_picture_names_every_row_that_was_measured() {
        let (plan, rows) = crate::tail::tables::tests::rows();
        let svg = draw(&plan, &Machine::this(), &rows).unwrap();
        for text in ["idle, pinned", "time of act, µs", "share of ticks", "500 Hz, 5 ticks"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("idle, realtime"), "it was refused");
        let error = draw(&plan, &Machine::this(), &rows[1..]).unwrap_err().to_string();
        assert_eq!(error, "--svg: expected a row to draw, found none that was measured");
    }
}
