//! What a picture of `CarRacing-v3` shows: everything Gymnasium's `_render("state_pixels")` reads, in the types it reads it in. The physics fills it; the painter draws it.
//!
//! Lengths are Gymnasium's world units (Box2D's metres), angles radians, anticlockwise positive; the field is the square of ±[`PLAYFIELD`] around the origin.
//! `f32` values are what Box2D's getters give (Python sees them widened to f64, exactly), `f64` values are Python's own floats.

/// Half the side of the field in world units: `PLAYFIELD = 2000 / SCALE`.
pub const PLAYFIELD: f64 = 2000.0 / 6.0;

/// One moment of an episode, as the picture of a step shows it: after the physics of the step, before its reward.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Tiles and borders in Gymnasium's `road_poly` order: a tile, then its border if it has one.
    pub road: &'a [RoadPolygon],
    /// `bg_color`, the field: channels truncated to integers, as the drawing routines truncate them. (102, 204, 102) unless `domain_randomize` drew another.
    pub background: [u8; 3],
    /// `grass_color`, the 400 squares on the field. (102, 230, 102) unless `domain_randomize` drew another.
    pub grass: [u8; 3],
    /// The car's body.
    pub hull: Hull<'a>,
    /// Front left, front right, rear left, rear right: Gymnasium's `car.wheels`, which is also the order they are drawn in, before the hull.
    pub wheels: [Wheel<'a>; 4],
    /// Seconds since the reset's beginning, summed in steps of 1/50: `env.t`; 1/50 in the first picture.
    pub t: f64,
    /// The score written in the picture: `env.reward` before this step's −0.1, with the tiles of this step.
    pub reward: f64,
}

/// A quadrilateral of the road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoadPolygon {
    /// Its corners as Python has them, in the order of `road_poly`.
    pub vertices: [[f64; 2]; 4],
    /// Its colour as it is drawn now, truncated to integers. A tile that a wheel or the hull has touched takes the plain road colour.
    pub colour: [u8; 3],
}

/// Where a body is: `b2Transform`, world = rotation · local + position, in f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The body's origin (not its centre of mass).
    pub position: [f32; 2],
    /// Sine of the body's angle, by Box2D's `b2Rot`.
    pub sin: f32,
    /// Cosine of the body's angle.
    pub cos: f32,
}

impl Pose {
    /// The local point `v` in the world: `b2Mul(transform, v)`, in its order of operations.
    #[must_use]
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [(self.cos * x - self.sin * y) + self.position[0], (self.sin * x + self.cos * y) + self.position[1]]
    }
}

/// The car's body.
#[derive(Debug, Clone, Copy)]
pub struct Hull<'a> {
    /// Where it is: `hull.position` is `pose.position`.
    pub pose: Pose,
    /// `hull.angle`, not wrapped.
    pub angle: f32,
    /// `hull.linearVelocity`: of the centre of mass, world units a second.
    pub velocity: [f32; 2],
    /// `hull.angularVelocity`, radians a second.
    pub angular_velocity: f32,
    /// `fixture.shape.vertices` of the hull's polygons, in the order Box2D keeps, as Python's `hull.fixtures` lists them
    /// (`HULL_POLY1` first), in the hull's frame.
    pub polygons: [&'a [[f32; 2]]; 4],
}

/// A wheel.
#[derive(Debug, Clone, Copy)]
pub struct Wheel<'a> {
    /// Where it is.
    pub pose: Pose,
    /// `wheel.omega`, its rotation about its axle in radians a second.
    pub omega: f64,
    /// `wheel.phase`, the integral of `omega`: where its white stripe is.
    pub phase: f64,
    /// `wheel.joint.angle`: steering, radians.
    pub joint_angle: f32,
    /// `fixture.shape.vertices` of its polygon, in the order Box2D keeps, in the wheel's frame.
    pub polygon: &'a [[f32; 2]],
}
