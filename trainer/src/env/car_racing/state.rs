//! What a privileged driver sees in place of the picture (`env.observation = "state"`): the car and the road ahead, in the car's own frame.
//!
//! Right and forward are the hull's; lengths are world units (a road is 13.3 wide, a tile 3.5 long), times seconds, angles radians.

use super::race::Race;
use super::world::WHEELS;

/// Points of the middle of the road that are seen, and tiles from one to the next: 94.5 units of road.
const POINTS: usize = 10;
const EVERY: usize = 3;

/// Name and length of each part, in order.
pub(super) const BLOCKS: [(&str, usize); 7] = [
    // Velocity of the hull's centre of mass, to the right and forward, units/s: forward −20 to 110.
    ("velocity", 2),
    // How fast the hull turns, anticlockwise, rad/s: ±7.
    ("yaw_rate", 1),
    // How far the front left wheel is turned to the left, rad: ±0.4.
    ("steering", 1),
    // How fast each wheel turns about its axle, rad/s: −50 to 250. Front left, front right, rear left, rear right.
    ("wheels", WHEELS),
    // How much gas the rear wheels get: 0 to 1.
    ("gas", 1),
    // Whether each wheel is on the road: 0 or 1.
    ("grip", WHEELS),
    // Points of the middle of the road, to the right and forward of the hull's origin, units: the nearest, and every third one after it.
    ("road", 2 * POINTS),
];

/// Where on the track the car is: which point is the nearest, of those that it can have come to since it was last asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place(usize);

impl Place {
    /// Points to either side of the last place that are looked at: a step moves the car by less than one.
    const REACH: usize = 10;

    /// Follows the car. A road that passes close by is not taken for the one that the car left.
    pub(super) fn follow(&mut self, race: &Race) {
        let points = &race.track.points;
        let n = points.len();
        let [x, y] = race.car.world.hull.pose.position.map(f64::from);
        let distance = |i: &usize| {
            let point = points[*i];
            (point.x - x) * (point.x - x) + (point.y - y) * (point.y - y)
        };
        let near = (0..=2 * Self::REACH).map(|i| (self.0 + n + i - Self::REACH) % n);
        self.0 = near.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
    }
}

/// Writes the state of `race`, whose car is at `place`, into `obs`, which is as long as all of [`BLOCKS`].
pub(super) fn observe(race: &Race, place: Place, obs: &mut [f64]) {
    let hull = race.car.hull();
    let (sin, cos) = (f64::from(hull.pose.sin), f64::from(hull.pose.cos));
    let in_frame = |[x, y]: [f64; 2]| [cos * x + sin * y, cos * y - sin * x];
    let [x, y] = hull.pose.position.map(f64::from);
    let wheels = race.car.wheels();
    let points = &race.track.points;
    let road = (0..POINTS).flat_map(|i| {
        let point = points[(place.0 + EVERY * i) % points.len()];
        in_frame([point.x - x, point.y - y])
    });
    let numbers = in_frame(hull.velocity.map(f64::from))
        .into_iter()
        .chain([f64::from(hull.angular_velocity), f64::from(wheels[0].joint_angle)])
        .chain(wheels.map(|wheel| wheel.omega))
        .chain([race.car.gas()])
        .chain((0..WHEELS).map(|i| if race.car.tiles(i) > 0 { 1.0 } else { 0.0 }))
        .chain(road);
    obs.iter_mut().zip(numbers).for_each(|(o, number)| *o = number);
}
