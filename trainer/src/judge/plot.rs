//! Figures: panels of lines or points, or groups of bars, as SVG text: the same numbers give the same bytes, and no font of this
//! machine is asked.

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

const FONT: &str = "sans-serif";
/// Pixels of the heading: a title, and the names of the lines.
const HEADING: u32 = 74;

/// Colours that people who see no red or no green tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(204, 121, 167),
    RGBColor(110, 110, 110),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// What is drawn of a line's points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// A line through them.
    Line,
    /// Dashes instead of a line.
    Dashes,
    /// The points themselves.
    Dots,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Which colour.
    pub colour: usize,
    /// What is drawn.
    pub stroke: Stroke,
}

/// A plain line.
pub(crate) const fn solid(colour: usize) -> Style {
    Style { colour, stroke: Stroke::Line }
}

/// A dashed line.
pub(crate) const fn dashed(colour: usize) -> Style {
    Style { colour, stroke: Stroke::Dashes }
}

/// Points that no line joins.
pub(crate) const fn dots(colour: usize) -> Style {
    Style { colour, stroke: Stroke::Dots }
}

/// Points joined by a line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `(x, y)`; what is not finite, or not positive on a logarithmic axis, is left out.
    pub points: Vec<(f64, f64)>,
    /// Its look, by which the legend knows it.
    pub style: Style,
}

/// One pair of axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// Above it.
    pub title: String,
    /// Below its x axis.
    pub x: String,
    /// Beside its y axis.
    pub y: String,
    /// Drawn in this order.
    pub lines: Vec<Line>,
    /// Logarithmic y axis.
    pub log_y: bool,
    /// The y axis ends here, whatever the lines do.
    pub y_max: Option<f64>,
    /// Upright lines, with what is written beside them.
    pub marks: Vec<(f64, String)>,
}

/// Panels in rows of `columns`, under a title and a legend that names each style.
///
/// # Errors
/// There is nothing to draw, or plotters refuses.
pub(crate) fn panels(title: &str, legend: &[(&str, Style)], panels: &[Panel], columns: usize) -> Result<String> {
    ensure!(!panels.is_empty(), "figure `{title}`: expected panels, found none");
    let rows = panels.len().div_ceil(columns);
    let (width, height) = if panels.len() == 1 { (820, 460) } else { (560, 300) };
    let size = (width * columns.min(panels.len()) as u32, HEADING + height * rows as u32);
    picture(title, legend, size, |area| {
        for (area, panel) in area.split_evenly((rows, columns.min(panels.len()))).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        Ok(())
    })
}

/// Groups of bars: each group has a name and a value for every entry of the legend.
///
/// # Errors
/// There is nothing to draw, or plotters refuses.
pub(crate) fn bars(title: &str, y: &str, legend: &[(&str, usize)], groups: &[(String, Vec<Option<f64>>)]) -> Result<String> {
    ensure!(!groups.is_empty(), "figure `{title}`: expected bars, found none");
    let names: Vec<_> = legend.iter().map(|&(name, colour)| (name, solid(colour))).collect();
    let greatest = groups.iter().flat_map(|group| group.1.iter().flatten()).fold(0.0_f64, |a, &b| a.max(b));
    let top = if greatest > 0.0 { 1.12 * greatest } else { 1.0 };
    picture(title, &names, (820, HEADING + 400), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_labels(0).y_desc(y).label_style((FONT, 14)).axis_desc_style((FONT, 15));
        mesh.y_label_formatter(&|v| label(*v)).bold_line_style(BLACK.mix(0.12)).light_line_style(TRANSPARENT).draw()?;
        let step = 0.8 / legend.len() as f64;
        for (group, (name, values)) in groups.iter().enumerate() {
            for (i, ((_, colour), value)) in legend.iter().zip(values).enumerate() {
                let Some(value) = value else { continue };
                let left = group as f64 + 0.1 + step * i as f64;
                let bar = Rectangle::new([(left, 0.0), (left + 0.92 * step, *value)], COLOURS[*colour].filled());
                chart.draw_series([bar])?;
                let text = format!("{value:.3}");
                let at = (left + 0.46 * step, *value);
                let offset = (-(text.len() as i32) * 3, -14);
                chart.draw_series([EmptyElement::at(at) + Text::new(text, offset, (FONT, 11))])?;
            }
            let offset = (-(name.len() as i32 * 7) / 2, 8);
            let text = Text::new(name.clone(), offset, (FONT, 14));
            chart.draw_series([EmptyElement::at((group as f64 + 0.5, 0.0)) + text])?;
        }
        Ok(())
    })
}

/// A white sheet with its heading; `draw` fills the rest.
fn picture(
    title: &str,
    legend: &[(&str, Style)],
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawn = || -> Drawn {
            root.fill(&WHITE)?;
            let (heading, rest) = root.split_vertically(HEADING);
            heading.draw(&Text::new(title.to_string(), (16, 12), (FONT, 20)))?;
            let mut x = 16;
            for (name, style) in legend {
                let parts = match style.stroke {
                    Stroke::Line => vec![(0, 32)],
                    Stroke::Dashes => vec![(0, 8), (12, 20), (24, 32)],
                    Stroke::Dots => vec![],
                };
                if style.stroke == Stroke::Dots {
                    heading.draw(&dot((x + 26, 56), *style))?;
                }
                for (from, to) in parts {
                    heading.draw(&PathElement::new([(x + from, 56), (x + to, 56)], pen(*style)))?;
                }
                heading.draw(&Text::new((*name).to_string(), (x + 40, 48), (FONT, 15)))?;
                x += 70 + 8 * name.chars().count() as i32;
            }
            draw(&rest)?;
            root.present()
        };
        drawn().map_err(|error| anyhow!("figure `{title}`: cannot draw: {error}"))?;
    }
    Ok(text)
}

fn pen(style: Style) -> ShapeStyle {
    COLOURS[style.colour].stroke_width(2)
}

fn dot<P>(at: P, style: Style) -> Circle<P, i32> {
    Circle::new(at, 3, COLOURS[style.colour].filled())
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Drawn {
    let shown = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && !(panel.log_y && y <= 0.0);
    let points = || panel.lines.iter().flat_map(|line| &line.points).filter(|point| shown(point));
    // A line may end at the edge; half a point may not.
    let margin = if panel.lines.iter().any(|line| line.style.stroke == Stroke::Dots) { 0.04 } else { 0.0 };
    let x_range = range(points().map(|point| point.0), margin);
    let y_range = range(points().map(|point| point.1), 0.05);
    let y_range = y_range.start..panel.y_max.map_or(y_range.end, |max| max.min(y_range.end));
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).margin_right(24).x_label_area_size(44).y_label_area_size(64);
    if !panel.title.is_empty() {
        builder.caption(&panel.title, (FONT, 16));
    }
    if panel.log_y {
        let numbers = decades(points().map(|point| point.1).filter(|&y| panel.y_max.is_none_or(|max| y <= max)));
        let y_range = numbers[0]..numbers[numbers.len() - 1];
        let mut chart = builder.build_cartesian_2d(x_range, y_range.log_scale().with_key_points(numbers.clone()))?;
        fill(&mut chart, panel, numbers[numbers.len() - 1], shown)
    } else {
        let top = y_range.end;
        let mut chart = builder.build_cartesian_2d(x_range, y_range)?;
        fill(&mut chart, panel, top, shown)
    }
}

fn fill<Y: Ranged<ValueType = f64> + ValueFormatter<f64>>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, Y>>,
    panel: &Panel,
    top: f64,
    shown: impl Fn(&(f64, f64)) -> bool,
) -> Drawn {
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(&panel.x).y_desc(&panel.y).label_style((FONT, 13)).axis_desc_style((FONT, 14));
    mesh.x_label_formatter(&|v| label(*v)).y_label_formatter(&|v| label(*v));
    mesh.bold_line_style(BLACK.mix(0.12)).light_line_style(TRANSPARENT).draw()?;
    for (x, text) in &panel.marks {
        let bottom = chart.y_range().start;
        chart.draw_series(LineSeries::new([(*x, bottom), (*x, top)], BLACK.stroke_width(1)))?;
        chart.draw_series([EmptyElement::at((*x, top)) + Text::new(text.clone(), (6, 4), (FONT, 13))])?;
    }
    for line in &panel.lines {
        let points: Vec<_> = line.points.iter().copied().filter(|point| shown(point) && point.1 <= top).collect();
        match (line.style.stroke, &points[..]) {
            (Stroke::Dots, _) | (_, [_]) => drop(chart.draw_series(points.into_iter().map(|at| dot(at, line.style)))?),
            (Stroke::Dashes, _) => drop(chart.draw_series(DashedLineSeries::new(points, 6, 4, pen(line.style)))?),
            (Stroke::Line, _) => drop(chart.draw_series(LineSeries::new(points, pen(line.style)))?),
        }
    }
    Ok(())
}

/// From the least to the greatest of `values`, a share `margin` wider on either side.
fn range(values: impl Iterator<Item = f64> + Clone, margin: f64) -> Range<f64> {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    if low >= high || !low.is_finite() || !high.is_finite() {
        let middle = if low.is_finite() { low } else { 0.0 };
        return middle - 0.5..middle + 0.5;
    }
    let margin = margin * (high - low);
    low - margin..high + margin
}

/// 1, 2, 5, 10, … from below the least to above the greatest of `values`.
fn decades(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let range = range(values, 0.0);
    let numbers: Vec<f64> = (-12..=12).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade))).collect();
    let from = numbers.iter().rposition(|&number| number <= range.start).unwrap_or(0);
    let to = numbers.iter().position(|&number| number >= range.end).unwrap_or(numbers.len() - 1);
    numbers[from..=to.max(from + 1)].to_vec()
}

/// A tick's number, without digits that say nothing.
fn label(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded == 0.0 { "0".into() } else { rounded.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(points: &[(f64, f64)], log_y: bool) -> Panel {
        let lines = vec![Line { points: points.to_vec(), style: dashed(1) }];
        Panel { title: "one".into(), lines, log_y, marks: vec![(2.0, "here".into())], ..Panel::default() }
    }

    #[test]
    fn pictures_repeat_and_name_what_they_show() {
        let draw = || {
            let all = [panel(&[(1.0, 0.5), (3.0, 70.0)], true), panel(&[(1.0, f64::NAN), (2.0, 3.0)], false)];
            panels("Errors", &[("ridge", dashed(1))], &all, 2).unwrap()
        };
        let svg = draw();
        assert_eq!(svg, draw());
        assert!(["Errors", "ridge", "here", "50", "0.5"].iter().all(|text| svg.contains(text)), "{svg}");
        assert!(!svg.contains("NaN"));
        let svg = bars("Blocks", "error", &[("V", 0)], &[("qpos".into(), vec![Some(0.25)]), ("dead".into(), vec![None])]);
        assert!(svg.unwrap().contains("0.250"));
    }

    #[test]
    fn points_are_drawn_one_by_one_inside_the_axes() {
        let lines = vec![Line { points: vec![(0.0, 1.0), (10.0, 3.0), (5.0, f64::NAN)], style: dots(2) }];
        let svg = panels("Cloud", &[], &[Panel { lines, ..Panel::default() }], 1).unwrap();
        let circles: Vec<&str> = svg.lines().filter(|line| line.contains("<circle")).collect();
        assert_eq!(circles.len(), 2, "{svg}");
        assert!(!svg.contains(r##"stroke="#009E73" stroke-width="2""##), "no line joins them: {svg}");
    }

    #[test]
    fn nothing_and_sameness_have_axes_too() {
        for points in [&[][..], &[(1.0, 2.0)], &[(1.0, 0.0), (2.0, 0.0)], &[(f64::NAN, f64::INFINITY)]] {
            for log_y in [false, true] {
                panels("empty", &[], &[panel(points, log_y)], 1).unwrap();
            }
        }
        assert!(panels("none", &[], &[], 1).is_err() && bars("none", "", &[], &[]).is_err());
    }
}
