//! The polygons of SDL_gfx (`aapolygon`, `filled_polygon`), in which field, grass and road are painted, and of `pygame.draw.polygon`, in
//! which the car and the indicators are: which pixels they paint, and how strongly.
//!
//! [`Brush::quad`], its lines and their clipping follow the design of SDL_gfx in an implementation of their own, so they bear its notice:
//!
//! > Copyright (C) 2001-2012 Andreas Schiffler
//! >
//! > This software is provided 'as-is', without any express or implied warranty. In no event will the authors be held liable for any
//! > damages arising from the use of this software.
//! >
//! > Permission is granted to anyone to use this software for any purpose, including commercial applications, and to alter it and
//! > redistribute it freely, subject to the following restrictions:
//! >
//! > 1. The origin of this software must not be misrepresented; you must not claim that you wrote the original software. If you use this
//! >    software in a product, an acknowledgment in the product documentation would be appreciated but is not required.
//! > 2. Altered source versions must be plainly marked as such, and must not be misrepresented as being the original software.
//! > 3. This notice may not be removed or altered from any source distribution.

use super::canvas::{Canvas, Ink};
use super::view::{HEIGHT, Point, WIDTH};
use std::ops::Range;

/// Corners of a polygon, at most: the hull's.
pub(super) const CORNERS: usize = 8;
/// Below it the black bar covers the scene.
const HORIZON: i32 = 100;

/// A column that no pixel has.
const NOWHERE: i32 = i32::MIN;

/// Where the edges of a polygon cross a row.
#[derive(Clone, Copy, Default)]
struct Row {
    count: usize,
    x: [i32; CORNERS],
}

impl Row {
    /// Whether the first fill covers a pixel.
    fn covers(&self, x: i32) -> bool {
        let [left, right, ..] = self.x;
        x.wrapping_sub(left) as u32 <= right.wrapping_sub(left) as u32
    }

    fn sort(&mut self) {
        match self.count {
            2 => [self.x[0], self.x[1]] = [self.x[0].min(self.x[1]), self.x[0].max(self.x[1])],
            count => self.x[..count].sort_unstable(),
        }
    }
}

/// Paints polygons.
pub(super) struct Brush {
    rows: Vec<Row>,
}

/// Which rows a polygon is painted in, and which way they count.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// y up, without what the bar will cover.
    Scene,
    /// y down.
    Bar,
}

impl Part {
    fn lowest(self) -> i32 {
        if self == Self::Scene { HORIZON } else { 0 }
    }

    fn row(self, y: i32) -> usize {
        (if self == Self::Scene { HEIGHT - 1 - y } else { y }) as usize
    }
}

impl Brush {
    pub(super) fn new() -> Self {
        Self { rows: vec![Row::default(); HEIGHT as usize] }
    }

    /// A polygon of the scene: its outline, each pixel weighted by how near the edge is, then its inside.
    pub(super) fn quad(&mut self, canvas: &mut Canvas, points: &[Point; 4], ink: Ink) {
        let ([left, right], [low, high]) = (extent(points, 0), extent(points, 1));
        if right < 0 || left >= WIDTH || high < HORIZON || low >= HEIGHT {
            return;
        }
        let visible = [low.max(HORIZON), high.min(HEIGHT - 1)];
        // In 1/65536 of a pixel: (65536·y / dy)·dx, with the quotient carried from row to row.
        let at = |y: i32, dx: i32, dy: i32| {
            let (step, step_rest) = (65536 / dy, 65536 % dy);
            let (mut quotient, mut rest) = (65536 * y / dy, 65536 * y % dy);
            move |_| {
                let x = quotient.wrapping_mul(dx);
                (quotient, rest) = (quotient + step, rest + step_rest);
                if rest >= dy {
                    (quotient, rest) = (quotient + 1, rest - dy);
                }
                x
            }
        };
        self.cross(points, visible, high, at, 65536);
        let rows = &mut self.rows[visible[0] as usize..=visible[1] as usize];
        for row in &mut *rows {
            row.sort();
            for pair in row.x[..row.count].as_chunks_mut::<2>().0 {
                let [a, b] = [(pair[0] + 1 + 32768) >> 16, (pair[1] - 1 + 32768) >> 16];
                *pair = [a.min(b), a.max(b)];
            }
            if row.count == 0 {
                [row.x[0], row.x[1]] = [NOWHERE; 2];
            }
        }
        for (i, &point) in points.iter().enumerate() {
            self.line(canvas, point, points[(i + 1) % 4], ink);
        }
        self.paint(canvas, Part::Scene, visible, ink);
    }

    /// `pygame.draw.polygon`.
    pub(super) fn polygon(&mut self, canvas: &mut Canvas, part: Part, points: &[Point], ink: Ink) {
        let [low, high] = extent(points, 1);
        if low == high {
            let [left, right] = extent(points, 0);
            return span(canvas, part, low, left, right, ink);
        }
        let visible = [low.max(part.lowest()), high.min(HEIGHT - 1)];
        let at = |mut y: i32, dx: i32, dy: i32| {
            move |count: usize| {
                let x = (i64::from(y) * i64::from(dx)) as f32 / dy as f32;
                y += 1;
                (if count.is_multiple_of(2) { x.floor() } else { x.ceil() }) as i32
            }
        };
        self.cross(points, visible, high, at, 1);
        for y in visible[0]..=visible[1] {
            self.rows[y as usize].sort();
        }
        self.paint(canvas, part, visible, ink);
        for [[x1, y1], [x2, y2]] in edges(points) {
            if y1 == y2 && low < y1 && y1 < high {
                span(canvas, part, y1, x1.min(x2), x1.max(x2), ink);
            }
        }
    }

    /// Finds where edges cross the visible rows. An edge crosses the row of its lower end, that of its upper end only at the polygon's
    /// top. `edge` makes, of the rows from its lower end to the first visible one, its width and its height, what tells row by row how
    /// far from its lower end it crosses, given the number of crossings before it in that row; `unit` is a pixel.
    fn cross<F: FnMut(usize) -> i32>(
        &mut self,
        points: &[Point],
        [low, high]: [i32; 2],
        top: i32,
        edge: impl Fn(i32, i32, i32) -> F,
        unit: i32,
    ) {
        if low > high {
            return;
        }
        self.rows[low as usize..=high as usize].iter_mut().for_each(|row| row.count = 0);
        for [[x1, y1], [x2, y2]] in edges(points) {
            let (start, end) = (y1.max(low), if y2 == top { y2 } else { y2 - 1 }.min(high));
            if y1 == y2 || start > end {
                continue;
            }
            let mut at = edge(start - y1, x2 - x1, y2 - y1);
            for row in &mut self.rows[start as usize..=end as usize] {
                let x = at(row.count).wrapping_add(unit * x1);
                row.x[row.count] = x;
                row.count += 1;
            }
        }
    }

    fn paint(&self, canvas: &mut Canvas, part: Part, [low, high]: [i32; 2], ink: Ink) {
        for y in low..=high {
            let row = &self.rows[y as usize];
            for &[left, right] in row.x[..row.count].as_chunks::<2>().0 {
                span(canvas, part, y, left, right, ink);
            }
        }
    }

    /// A line of an outline: Wu's, on clipped whole ends. Its first end is solid, its last left out; upright and lying ones are solid.
    fn line(&self, canvas: &mut Canvas, a: Point, b: Point, ink: Ink) {
        let Some([first, other]) = clipped(a, b) else { return };
        let [[x, y], [end_x, end_y]] = if first[1] > other[1] { [other, first] } else { [first, other] };
        let (dx, dy) = ((end_x - x).abs(), end_y - y);
        let solid = |canvas: &mut Canvas, y, left, right| span(canvas, Part::Scene, y, left, right, ink);
        if dx == 0 {
            return (y..=end_y).for_each(|y| solid(canvas, y, x, x));
        }
        if dy == 0 {
            // To the left it is a pixel.
            return if end_x > x { solid(canvas, y, x, end_x) } else { solid(canvas, y, first[0], first[0]) };
        }
        solid(canvas, first[1], first[0], first[0]);
        let sign = if end_x > x { 1 } else { -1 };
        // Pixels the line moves sideways in a step, in 1/65536: after m steps m·slope, whose fraction is the far pixel's weight.
        let slope = (dx.min(dy) << 16) / dx.max(dy);
        if dy > dx {
            let start = (HORIZON - y).max(1);
            if start >= dy {
                return;
            }
            let rows = &self.rows[(y + start) as usize..(y + dy) as usize];
            for (step, row) in (start..dy).zip(rows) {
                let (sideways, weight) = place(slope, step);
                let near = x + sign * sideways;
                let mut blend = |x: i32, weight: i32| {
                    if !row.covers(x) && weight > 0 && (0..WIDTH).contains(&x) {
                        canvas.blend(Part::Scene.row(y + step), x as usize, ink, alpha(weight));
                    }
                };
                blend(near, 255 - weight);
                blend(near + sign, weight);
            }
            return;
        }
        // Steps from `start` lie in one row, the far pixels in the next.
        let run = 65536 / slope;
        let mut start = 0;
        for row in 0..dy {
            let end = start + run;
            let end = end + i32::from(slope * end < (row + 1) << 16);
            let steps = start.max(1)..end.min(dx);
            self.run(canvas, y + row, x, sign, steps.clone(), ink, |step| 255 - place(slope, step).1);
            self.run(canvas, y + row + 1, x, sign, steps, ink, |step| place(slope, step).1);
            start = end;
        }
    }

    /// Blends the pixels of some steps of a line, which lie in one row, where the fill to come does not cover them.
    #[expect(clippy::too_many_arguments, reason = "a row of a line")]
    fn run(&self, canvas: &mut Canvas, y: i32, x: i32, sign: i32, steps: Range<i32>, ink: Ink, weight: impl Fn(i32) -> i32) {
        if !(HORIZON..HEIGHT).contains(&y) {
            return;
        }
        let [left, right, ..] = self.rows[y as usize].x;
        // Steps before the fill, and after it.
        let (into, out_of) = match (left == NOWHERE, sign > 0) {
            (true, _) => (steps.end, steps.end),
            (_, true) => (left - x, right - x + 1),
            (_, false) => (x - right, x - left + 1),
        };
        let mut blend = |step: i32| {
            canvas.blend(Part::Scene.row(y), (x + sign * step) as usize, ink, alpha(weight(step)));
        };
        for step in steps.start..steps.end.min(into) {
            blend(step);
        }
        for step in steps.start.max(out_of)..steps.end {
            blend(step);
        }
    }
}

/// Whole pixels sideways, and the far pixel's weight.
fn place(slope: i32, step: i32) -> (i32, i32) {
    let sideways = slope * step;
    (sideways >> 16, (sideways >> 8) & 255)
}

/// A weight of 0 to 255, by which SDL_gfx multiplies an opacity of 255, in 1/256.
fn alpha(weight: i32) -> u32 {
    ((255 * weight) >> 8) as u32
}

/// Paints what is visible of a span.
fn span(canvas: &mut Canvas, part: Part, y: i32, left: i32, right: i32, ink: Ink) {
    let (left, right) = (left.max(0), right.min(WIDTH - 1));
    if left <= right && y >= part.lowest() && y < HEIGHT {
        canvas.span(part.row(y), left as usize, right as usize, ink);
    }
}

/// The least and the greatest coordinate.
fn extent(points: &[Point], axis: usize) -> [i32; 2] {
    points.iter().fold([i32::MAX, i32::MIN], |[low, high], p| [low.min(p[axis]), high.max(p[axis])])
}

/// The edges, the one that closes the polygon first, each upwards.
fn edges(points: &[Point]) -> impl Iterator<Item = [Point; 2]> {
    let before = points.iter().cycle().skip(points.len().saturating_sub(1));
    before.zip(points).map(|(&a, &b)| if a[1] > b[1] { [b, a] } else { [a, b] })
}

/// What of a line lies on the screen (Cohen and Sutherland), with SDL_gfx's truncations; an end that was outside comes first.
fn clipped(mut a: Point, mut b: Point) -> Option<[Point; 2]> {
    let outside = |[x, y]: Point| [x < 0, x >= WIDTH, y < 0, y >= HEIGHT];
    loop {
        if !outside(a).contains(&true) {
            (a, b) = (b, a);
        }
        let [left, right, below, above] = outside(a);
        if !(left || right || below || above) {
            // `a` was inside too: back to their order.
            return Some([b, a]);
        }
        if outside(b).iter().zip([left, right, below, above]).any(|(&b, a)| a && b) {
            return None;
        }
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let slope = if dx == 0 { 1.0 } else { dy as f32 / dx as f32 };
        if left || right {
            let edge = if left { 0 } else { WIDTH - 1 };
            a = [edge, a[1] + ((edge - a[0]) as f32 * slope) as i32];
        } else {
            let edge = if below { 0 } else { HEIGHT - 1 };
            let x = if dx == 0 { 0 } else { ((edge - a[1]) as f32 / slope) as i32 };
            a = [a[0] + x, edge];
        }
    }
}
