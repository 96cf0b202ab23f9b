//! The polygons of SDL_gfx (`aapolygon`, `filled_polygon`), in which field, grass and road are painted, and of `pygame.draw.polygon`, in which the car and the
//! indicators are: which pixels they paint, and how strongly.
//!
//! `fill` and `outline` follow the design of SDL_gfx, whose notice this is; they are an implementation of their own and no part of it:
//!
//! > Copyright (C) 2001-2012 Andreas Schiffler. This software is provided 'as-is', without any express or implied warranty. In no event will the authors be held
//! > liable for any damages arising from the use of this software. Permission is granted to anyone to use this software for any purpose, including commercial
//! > applications, and to alter it and redistribute it freely, subject to the following restrictions: 1. The origin of this software must not be misrepresented; you
//! > must not claim that you wrote the original software. If you use this software in a product, an acknowledgment in the product documentation would be appreciated
//! > but is not required. 2. Altered source versions must be plainly marked as such, and must not be misrepresented as being the original software. 3. This notice may
//! > not be removed or altered from any source distribution.

use super::canvas::{Canvas, Ink};
use super::view::{HEIGHT, Point, WIDTH};

/// Corners of a polygon that Box2D holds, at most.
pub(super) const CORNERS: usize = 16;
/// Below it the black bar covers the scene.
const HORIZON: i32 = 100;

/// Where the edges of a polygon cross a row.
#[derive(Clone, Copy, Default)]
struct Row {
    count: u8,
    x: [i32; CORNERS],
}

impl Row {
    fn crossings(&mut self) -> &mut [i32] {
        &mut self.x[..self.count as usize]
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
        let [left, right] = extent(points, 0);
        let [low, high] = extent(points, 1);
        if right < 0 || left >= WIDTH || high < HORIZON || low >= HEIGHT {
            return;
        }
        let visible = [low.max(HORIZON), high.min(HEIGHT - 1)];
        self.cross(points, visible, high, |_, y, dx, dy| ((65536 * y) / dy).wrapping_mul(dx), 65536);
        let [low, high] = visible;
        // The spans to fill, in the crossings' places. An empty one has no right.
        for y in low..=high {
            let row = &mut self.rows[y as usize];
            let crossings = row.crossings();
            crossings.sort_unstable();
            for pair in crossings.as_chunks_mut::<2>().0 {
                let [a, b] = [(pair[0] + 1 + 32768) >> 16, (pair[1] - 1 + 32768) >> 16];
                *pair = [a.min(b), a.max(b)];
            }
            if row.count == 0 {
                row.x[..2].copy_from_slice(&[0, -1]);
            }
        }
        for (i, &point) in points.iter().enumerate() {
            self.line(canvas, point, points[(i + 1) % 4], ink);
        }
        for y in low..=high {
            self.paint(canvas, Part::Scene, y, ink);
        }
    }

    /// `pygame.draw.polygon`.
    pub(super) fn polygon(&mut self, canvas: &mut Canvas, part: Part, points: &[Point], ink: Ink) {
        let [low, high] = extent(points, 1);
        if low == high {
            let [left, right] = extent(points, 0);
            return span(canvas, part, low, left, right, ink);
        }
        let visible = [low.max(part.lowest()), high.min(HEIGHT - 1)];
        let at = |count: u8, y: i32, dx: i32, dy: i32| {
            let x = (y * dx) as f32 / dy as f32;
            (if count.is_multiple_of(2) { x.floor() } else { x.ceil() }) as i32
        };
        self.cross(points, visible, high, at, 1);
        for y in visible[0]..=visible[1] {
            self.rows[y as usize].crossings().sort_unstable();
            self.paint(canvas, part, y, ink);
        }
        for [[x1, y1], [x2, y2]] in edges(points) {
            if y1 == y2 && low < y1 && y1 < high {
                span(canvas, part, y1, x1.min(x2), x1.max(x2), ink);
            }
        }
    }

    /// Finds where edges cross the visible rows. An edge crosses the row of its lower end, that of its upper end only at the polygon's top. `at` tells, of the
    /// crossings before it in its row, its rows and its width and height, how far from its lower end it crosses; `unit` is a pixel.
    fn cross(
        &mut self,
        points: &[Point],
        [low, high]: [i32; 2],
        top: i32,
        at: impl Fn(u8, i32, i32, i32) -> i32,
        unit: i32,
    ) {
        for y in low..=high {
            self.rows[y as usize].count = 0;
        }
        for [[x1, y1], [x2, y2]] in edges(points) {
            let end = if y2 == top { y2 } else { y2 - 1 };
            if y1 == y2 {
                continue;
            }
            for y in y1.max(low)..=end.min(high) {
                let row = &mut self.rows[y as usize];
                row.x[row.count as usize] = at(row.count, y - y1, x2 - x1, y2 - y1).wrapping_add(unit * x1);
                row.count += 1;
            }
        }
    }

    fn paint(&self, canvas: &mut Canvas, part: Part, y: i32, ink: Ink) {
        let row = &self.rows[y as usize];
        for &[left, right] in row.x[..row.count as usize].as_chunks::<2>().0 {
            span(canvas, part, y, left, right, ink);
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
        let (major, minor) = (dx.max(dy), dx.min(dy));
        let slope = (((minor as u32) << 16) / major as u32) << 16;
        let mut error = 0u32;
        let mut minor = 0;
        for major in 1..major {
            let before = error;
            error = error.wrapping_add(slope);
            minor += i32::from(error <= before);
            let weight = error >> 24;
            let ([x1, y1], [x2, y2]) = if dy > dx {
                ([x + sign * minor, y + major], [x + sign * (minor + 1), y + major])
            } else {
                ([x + sign * major, y + minor], [x + sign * major, y + minor + 1])
            };
            self.blend(canvas, x1, y1, ink, 255 - weight);
            self.blend(canvas, x2, y2, ink, weight);
        }
    }

    /// Blends a pixel, where the fill to come does not cover it.
    fn blend(&self, canvas: &mut Canvas, x: i32, y: i32, ink: Ink, weight: u32) {
        if y < HORIZON || y >= HEIGHT || x < 0 || x >= WIDTH || weight == 0 {
            return;
        }
        let row = &self.rows[y as usize];
        if x < row.x[0] || x > row.x[1] {
            canvas.blend(Part::Scene.row(y), x as usize, ink, ((255 * weight) >> 8) as u16);
        }
    }
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
        let (mut at_a, mut at_b) = (outside(a), outside(b));
        if at_a.iter().zip(&at_b).any(|(a, b)| *a && *b) {
            return None;
        }
        if !at_a.contains(&true) {
            if !at_b.contains(&true) {
                return Some([a, b]);
            }
            (a, b, at_a, at_b) = (b, a, at_b, at_a);
        }
        let _ = at_b;
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let slope = if dx == 0 { 1.0 } else { dy as f32 / dx as f32 };
        let [left, right, below, _] = at_a;
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
