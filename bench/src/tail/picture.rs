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
        let (heading, panels) = root.split_vertically(64);
        let lines = [
            (format!("Ticks that took at least so long: {}", plan.title()), 22, 10),
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

/// From the decade below the least time and share to just above the greatest, over both panels, so that they compare.
fn ranges(curves: &[Curve<'_>]) -> [std::ops::Range<f64>; 2] {
    let points = || curves.iter().flat_map(|curve| curve.panels).flat_map(|times| times.slower_than.iter());
    let decade = |value: f64| 10_f64.powf(value.log10().floor());
    // The clock has nanoseconds: nothing is faster.
    let (from, to) = points().fold((f64::INFINITY, 0.0_f64), |(from, to), &(us, _)| (from.min(us.max(1e-3)), to.max(us)));
    let least = points().fold(1.0_f64, |least, &(_, share)| least.min(share));
    [decade(from)..to.max(from) * 1.15, decade(least * 0.999)..1.0]
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    curves: &[Curve<'_>],
    at: usize,
    axis: &str,
    period_us: Option<f64>,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let [times, shares] = ranges(curves);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(22)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(times.clone().log_scale(), shares.clone().log_scale())?;
    chart
        .configure_mesh()
        .x_desc(axis)
        .y_desc("share of ticks")
        .x_labels(60)
        .y_labels(8)
        .x_label_formatter(&|us| label(*us, &[1, 2, 5]))
        .y_label_formatter(&|share| label(*share, &[1]))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    if let Some(period_us) = period_us.filter(|us| times.contains(us)) {
        let line = [(period_us, shares.start), (period_us, shares.end)];
        chart
            .draw_series(LineSeries::new(line, BLACK.stroke_width(1)))?
            .label("deadline")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 26, y)], BLACK.stroke_width(1)));
    }
    for curve in curves {
        let points = curve.panels[at].slower_than.iter().map(|&(us, share)| (us.max(times.start), share));
        let (style, dashed) = (curve.style, curve.dashed);
        if dashed {
            chart.draw_series(DashedLineSeries::new(points, 7, 5, style))?
        } else {
            chart.draw_series(LineSeries::new(points, style))?
        }
        .label(&curve.name)
        .legend(move |(x, y)| {
            // As dashed as its curve.
            let middle = if dashed { [x + 11, x + 16] } else { [x + 13, x + 13] };
            let part = |from, to| PathElement::new([(from, y), (to, y)], style);
            EmptyElement::at((0, 0)) + part(x, middle[0]) + part(middle[1], x + 26)
        });
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .legend_area_size(32)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 15))
        .draw()
}

/// A number of an axis where its first digit is one of `digits`, nothing elsewhere.
fn label(value: f64, digits: &[u32]) -> String {
    let decade = (value.log10() + 1e-9).floor();
    let digit = value / 10_f64.powf(decade);
    let is_labelled = digits.iter().any(|&wanted| (digit - f64::from(wanted)).abs() < 1e-6);
    let decimals = (-decade).max(0.0) as usize;
    if is_labelled { format!("{value:.decimals$}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::distribution::Quantiles;

    fn times(slower_than: &[(f64, f64)]) -> Times {
        Times { quantiles: Quantiles::of(&[1.0]), slower_than: slower_than.to_vec() }
    }

    #[test]
    fn axes_begin_at_a_decade_and_hold_every_point() {
        let (act, whole) = (times(&[(90.0, 1.0 / 60_000.0), (15.0, 1.0)]), times(&[(2000.0, 1.0 / 60_000.0), (25.0, 1.0)]));
        let curve = Curve { name: String::new(), style: BLACK.stroke_width(1), dashed: false, panels: [&act, &whole] };
        let [x, y] = ranges(&[curve]);
        assert!((x.start - 10.0).abs() < 1e-9 && x.end > 2000.0, "{x:?}");
        assert!((y.start - 1e-5).abs() < 1e-12 && y.end == 1.0, "{y:?}");
    }

    #[test]
    fn axes_are_labelled_at_round_numbers() {
        for (value, expected) in
            [(10.0, "10"), (20.0, "20"), (30.0, ""), (500.0, "500"), (0.001, "0.001"), (1.0, "1"), (0.2, "0.2")]
        {
            assert_eq!(label(value, &[1, 2, 5]), expected, "{value}");
        }
        assert_eq!(label(0.02, &[1]), "");
    }
}
