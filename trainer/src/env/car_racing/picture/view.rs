//! From the field to the screen: Gymnasium's camera, in its order of f64 operations.
//!
//! A point is turned by minus the hull's angle about the origin, scaled, and moved so that the hull stands at (500, 200) of 1000×800
//! pixels whose y points up. Drawing routines then truncate to integers. In the first second the scale grows from 0.6 to 16.2 pixels
//! a unit.

use super::super::scene::{PLAYFIELD, Pose, Scene};
use std::f64::consts::{FRAC_PI_2, TAU};

/// Pixels of a row of the screen.
pub(super) const WIDTH: i32 = 1000;
/// Rows of the screen.
pub(super) const HEIGHT: i32 = 800;
/// Side of a square of grass in world units, and of the gap to the next: `PLAYFIELD / 20`.
pub(super) const GRASS: f64 = PLAYFIELD / 20.0;
/// `car_dynamics.SIZE`: world units of a unit in which the car is described.
const SIZE: f64 = 0.02;

/// A point of the screen, y up.
pub(super) type Point = [i32; 2];

/// What turns world units into pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    cos: f64,
    sin: f64,
    /// Pixels a world unit.
    pub(super) zoom: f64,
    translation: [f64; 2],
}

impl View {
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        let (sin, cos) = turn(-f64::from(scene.hull.angle));
        let zoom = 0.1 * 6.0 * (1.0 - scene.t).max(0.0) + 2.7 * 6.0 * scene.t.min(1.0);
        let [x, y] = scene.hull.pose.position.map(|p| -f64::from(p) * zoom);
        let mut view = Self { cos, sin, zoom, translation: [0.0; 2] };
        let [x, y] = view.turned([x, y]);
        view.translation = [f64::from(WIDTH / 2) + x, f64::from(HEIGHT / 4) + y];
        view
    }

    fn turned(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [x * self.cos - y * self.sin, x * self.sin + y * self.cos]
    }

    /// Where a point of the world lies, before it is truncated.
    pub(super) fn exact(&self, point: [f64; 2]) -> [f64; 2] {
        let [x, y] = self.turned(point);
        [x * self.zoom + self.translation[0], y * self.zoom + self.translation[1]]
    }

    /// Where a point of the world lies: its pixel.
    pub(super) fn pixel(&self, point: [f64; 2]) -> Point {
        pixel(self.exact(point))
    }

    /// Where a point of a body lies: Box2D places it in f32.
    pub(super) fn pixel_of(&self, pose: &Pose, point: [f32; 2]) -> Point {
        self.pixel(pose.apply(point).map(f64::from))
    }

    /// The least and the greatest x and y that the screen shows of the world, and a pixel's breadth more.
    pub(super) fn seen(&self) -> [f64; 4] {
        const MARGIN: f64 = 4.0;
        let (right, top) = (f64::from(WIDTH) + MARGIN, f64::from(HEIGHT) + MARGIN);
        let corners = [[-MARGIN, -MARGIN], [right, -MARGIN], [right, top], [-MARGIN, top]].map(|[x, y]| {
            let (x, y) = ((x - self.translation[0]) / self.zoom, (y - self.translation[1]) / self.zoom);
            [x * self.cos + y * self.sin, y * self.cos - x * self.sin]
        });
        let extent =
            |axis: usize| corners.iter().fold([f64::MAX, f64::MIN], |[low, high], p| [low.min(p[axis]), high.max(p[axis])]);
        let ([left, right], [low, high]) = (extent(0), extent(1));
        [left, right, low, high]
    }
}

/// Truncates to a pixel, as Gymnasium's drawing routines do. Far outside (no car gets there) it stays within their arithmetic.
pub(super) fn pixel(point: [f64; 2]) -> Point {
    const FAR: f64 = 30_000.0;
    point.map(|p| p.clamp(-FAR, FAR) as i32)
}

/// Sine and cosine as pygame turns vectors: within 1e-6 of a quarter turn it is that quarter turn, else the C library's, which Gymnasium
/// calls as well.
fn turn(angle: f64) -> (f64, f64) {
    const NEAR: f64 = 1e-6;
    let angle = angle % TAU;
    let angle = if angle < 0.0 { angle + TAU } else { angle };
    if (angle + NEAR) % FRAC_PI_2 >= 2.0 * NEAR {
        return angle.sin_cos();
    }
    match ((angle + NEAR) / FRAC_PI_2).floor() {
        1.0 => (1.0, 0.0),
        2.0 => (0.0, -1.0),
        3.0 => (-1.0, 0.0),
        _ => (0.0, 1.0),
    }
}

/// The white stripe of a wheel that has turned by `phase` about its axle, in the wheel's frame; none where it is on the lower side.
/// pybox2d takes its corners in f32.
pub(super) fn stripe(phase: f64) -> Option<[[f32; 2]; 4]> {
    const WIDTH: f64 = 14.0;
    const RADIUS: f64 = 27.0;
    let end = phase + 1.2;
    let (hidden, end_hidden) = (phase.sin() > 0.0, end.sin() > 0.0);
    if hidden && end_hidden {
        return None;
    }
    // numpy's sign; a cosine that is zero does not come up.
    let at = |angle: f64, hidden| RADIUS * if hidden { angle.cos().signum() } else { angle.cos() } * SIZE;
    let (x, y1, y2) = ((WIDTH * SIZE) as f32, at(phase, hidden) as f32, at(end, end_hidden) as f32);
    Some([[-x, y1], [x, y1], [x, y2], [-x, y2]])
}

/// The field's corners.
pub(super) const FIELD: [[f64; 2]; 4] =
    [[PLAYFIELD, PLAYFIELD], [PLAYFIELD, -PLAYFIELD], [-PLAYFIELD, -PLAYFIELD], [-PLAYFIELD, PLAYFIELD]];

/// Column `x` and row `y` of the grass's grid, both even numbers from −20 to 18.
pub(super) fn grass(x: i32, y: i32) -> [[f64; 2]; 4] {
    let (x, y) = (GRASS * f64::from(x), GRASS * f64::from(y));
    [[x + GRASS, y], [x, y], [x, y + GRASS], [x + GRASS, y + GRASS]]
}
