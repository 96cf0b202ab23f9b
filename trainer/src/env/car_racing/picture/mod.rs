//! The picture of `CarRacing-v3`, bit for bit Gymnasium 1.4.0's `state_pixels` with pygame-ce 2.5.8: 96×96 pixels of red, green and blue.
//!
//! ```text
//! scene → view: whole pixels of 1000×800 → polygon: spans, blended pixels → canvas → shrink: 96×96 → score
//! ```
//!
//! Field, 400 squares of grass, road, wheels and hull, y up; then, y down, a black bar over the lowest 100 rows with its indicators, and
//! the score. Only the hull's turning by more than 31 rad/s would reach under the score, where Gymnasium's differs.

mod canvas;
#[cfg(test)]
mod naive;
mod polygon;
mod score;
mod shrink;
#[cfg(test)]
mod tests;
mod view;

use super::scene::Scene;
use canvas::Canvas;
use polygon::{Brush, Part};
pub(super) use score::ScoreTable;
use view::{FIELD, HEIGHT, Point, View, WIDTH, grass, pixel, stripe};

/// Side of the picture in pixels.
pub(super) const SIDE: usize = 96;
/// `car.hull.color`, `WHEEL_COLOR` and `WHEEL_WHITE` as they are painted.
const HULL: [u8; 3] = [204, 0, 0];
const WHEEL: [u8; 3] = [0; 3];
const STRIPE: [u8; 3] = [77; 3];

/// Paints pictures; holds what it needs for that, so that a picture allocates nothing once the colours were seen.
pub(super) struct Painter {
    canvas: Canvas,
    brush: Brush,
    score: Option<ScoreTable>,
}

impl Painter {
    /// A painter of pictures with the score in them; without a table, the bar has none.
    #[must_use]
    pub(super) fn new(score: Option<ScoreTable>) -> Self {
        Self { canvas: Canvas::new(), brush: Brush::new(), score }
    }

    /// Paints a scene into `out` [96, 96, 3], from the upper left.
    ///
    /// # Panics
    /// Where `out` has another length, or a polygon of the car has more than 8 corners.
    pub(super) fn paint(&mut self, scene: &Scene<'_>, out: &mut [u8]) {
        assert_eq!(out.len(), SIDE * SIDE * 3, "bytes of a picture");
        self.canvas.clear();
        let view = View::of(scene);
        self.field(scene, &view);
        self.car(scene, &view);
        self.bar(scene);
        self.canvas.shrink(out.as_chunks_mut::<3>().0);
        if let Some(table) = &self.score {
            table.write(scene.reward, out);
        }
    }

    fn field(&mut self, scene: &Scene<'_>, view: &View) {
        let Self { canvas, brush, .. } = self;
        let mut quad = |vertices: [[f64; 2]; 4], colour| {
            let ink = canvas.ink(colour);
            brush.quad(canvas, &vertices.map(|p| view.pixel(p)), ink);
        };
        quad(FIELD, scene.background);
        let [left, right, low, high] = view.seen();
        let column = |p: f64| (p / (2.0 * view::GRASS)).floor().clamp(-10.0, 9.0) as i32;
        for x in column(left)..=column(right) {
            for y in column(low)..=column(high) {
                quad(grass(2 * x, 2 * y), scene.grass);
            }
        }
        for polygon in scene.road {
            let v = &polygon.vertices;
            let out = |axis: usize, low: f64, high: f64| v.iter().all(|p| p[axis] < low) || v.iter().all(|p| p[axis] > high);
            if !out(0, left, right) && !out(1, low, high) {
                quad(*v, polygon.colour);
            }
        }
    }

    fn car(&mut self, scene: &Scene<'_>, view: &View) {
        for wheel in &scene.wheels {
            self.body(wheel.polygon.iter().map(|&p| view.pixel_of(&wheel.pose, p)), WHEEL);
            if let Some(stripe) = stripe(wheel.phase) {
                self.body(stripe.iter().map(|&p| view.pixel_of(&wheel.pose, p)), STRIPE);
            }
        }
        for part in scene.hull.polygons {
            self.body(part.iter().map(|&p| view.pixel_of(&scene.hull.pose, p)), HULL);
        }
    }

    fn body(&mut self, points: impl ExactSizeIterator<Item = Point>, colour: [u8; 3]) {
        let (mut corners, n) = ([[0; 2]; polygon::CORNERS], points.len());
        corners[..n].iter_mut().zip(points).for_each(|(corner, point)| *corner = point);
        let ink = self.canvas.ink(colour);
        self.brush.polygon(&mut self.canvas, Part::Scene, &corners[..n], ink);
    }

    /// The black bar: speed, the wheels' rotation, steering and the hull's turning, each where it is at least 0.0001.
    fn bar(&mut self, scene: &Scene<'_>) {
        const PLACE: f64 = 25.0;
        const LINE: f64 = 20.0;
        let bottom = f64::from(HEIGHT);
        let black = self.canvas.ink([0; 3]);
        let bar = [[WIDTH, HEIGHT], [WIDTH, HEIGHT - 100], [0, HEIGHT - 100], [0, HEIGHT]];
        self.brush.polygon(&mut self.canvas, Part::Bar, &bar, black);
        let mut show = |value: f64, points: [[f64; 2]; 4], colour| {
            if value.abs() > 1e-4 {
                let ink = self.canvas.ink(colour);
                self.brush.polygon(&mut self.canvas, Part::Bar, &points.map(pixel), ink);
            }
        };
        let upright = |place: f64, value: f64| {
            let (left, right, top) = (place * PLACE, (place + 1.0) * PLACE, bottom - (LINE + LINE * value));
            [[left, top], [right, top], [right, bottom - LINE], [left, bottom - LINE]]
        };
        let lying = |place: f64, value: f64| {
            let (left, right, top, bottom) =
                (place * PLACE, (place + value) * PLACE, bottom - 4.0 * LINE, bottom - 2.0 * LINE);
            [[left, top], [right, top], [right, bottom], [left, bottom]]
        };
        let [x, y] = scene.hull.velocity.map(f64::from);
        let speed = (x * x + y * y).sqrt();
        show(speed, upright(5.0, 0.02 * speed), [255; 3]);
        for ((wheel, place), red) in scene.wheels.iter().zip([7.0, 8.0, 9.0, 10.0]).zip([0, 0, 51, 51]) {
            show(wheel.omega, upright(place, 0.01 * wheel.omega), [red, 0, 255]);
        }
        let steering = f64::from(scene.wheels[0].joint_angle);
        show(steering, lying(20.0, -10.0 * steering), [0, 255, 0]);
        let turning = f64::from(scene.hull.angular_velocity);
        show(turning, lying(30.0, -0.8 * turning), [255, 0, 0]);
    }
}
