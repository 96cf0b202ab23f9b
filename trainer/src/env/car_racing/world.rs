//! The part of Box2D that a car of five bodies and four joints needs: revolute joints with a motor and limits, solved by impulses.
//!
//! ```text
//! velocities += dt·force/mass ─ joints: warm start, 180 passes over velocities ─ positions += dt·velocity ─ joints: ≤ 60 passes over positions ─ sleep
//! ```
//!
//! Nothing solid ever touches anything in this world: tiles are sensors, which [`super::shape::touch`] answers for. So a step is the joint
//! solver alone, and every operation of it is Box2D's, in Box2D's order, in binary32. Joints are
//! solved from the last made to the first, as Box2D's lists give them.
//!
//! This is an altered version of the design of Box2D 2.3, whose notice is:
//!
//! Copyright (c) 2006-2013 Erin Catto, <http://www.box2d.org>. This software is provided 'as-is', without any express or implied warranty. In
//! no event will the authors be held liable for any damages arising from the use of this software. Permission is granted to anyone to use
//! this software for any purpose, including commercial applications, and to alter it and redistribute it freely, subject to the following
//! restrictions: 1. The origin of this software must not be misrepresented; you must not claim that you wrote the original software. If you
//! use this software in a product, an acknowledgment in the product documentation would be appreciated but is not required. 2. Altered source
//! versions must be plainly marked as such, and must not be misrepresented as being the original software. 3. This notice may not be removed
//! or altered from any source distribution.

use super::plane::{Rotation, Vector, vector};
use super::scene::Pose;
use super::shape::Polygon;
use std::f32::consts::PI;

/// Passes over velocities in a step.
const VELOCITY_PASSES: usize = 180;
/// Passes over positions in a step, at most.
const POSITION_PASSES: usize = 60;
/// Metres by which a joint may gape, and radians by which it may pass its limit.
const LINEAR_SLOP: f32 = 0.005;
const ANGULAR_SLOP: f32 = 2.0 / 180.0 * PI;
/// Radians that one pass over positions turns by, at most.
const MAX_ANGULAR_CORRECTION: f32 = 8.0 / 180.0 * PI;
/// What a body moves and turns by in a step, at most.
const MAX_TRANSLATION: f32 = 2.0;
const MAX_ROTATION: f32 = 0.5 * PI;
/// Slower than this for so long, all bodies sleep.
const SLEEP_SPEED: f32 = 0.01;
const SLEEP_RATE: f32 = 2.0 / 180.0 * PI;
const SLEEP_AFTER_S: f32 = 0.5;

/// Wheels, each with its joint.
pub(super) const WHEELS: usize = 4;

/// How fast a body moves: of its centre of mass, and about it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Motion {
    pub(super) velocity: Vector,
    pub(super) rate: f32,
}

/// A rigid body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub(super) pose: Pose,
    pub(super) angle: f32,
    pub(super) motion: Motion,
    /// The centre of mass in the world, and in the body's frame.
    center: Vector,
    local_center: Vector,
    inverse_mass: f32,
    inverse_inertia: f32,
    force: Vector,
    /// Seconds it has been slow for.
    slow_s: f32,
}

impl Body {
    /// A body at rest, made of `polygons` of so much mass a unit of area.
    pub(super) fn new(position: Vector, angle: f32, polygons: &[Polygon], density: f32) -> Self {
        let (mut mass, mut weighed, mut inertia) = (0.0, Vector::default(), 0.0);
        // From the last made on, as Box2D's list has them.
        for part in polygons.iter().rev().map(|polygon| polygon.mass(density)) {
            mass += part.mass;
            weighed += part.mass * part.center;
            inertia += part.inertia;
        }
        let inverse_mass = 1.0 / mass;
        let local_center = inverse_mass * weighed;
        let inverse_inertia = 1.0 / (inertia - mass * local_center.dot(local_center));
        let pose = Pose::new(position, Rotation::by(angle));
        let (motion, force) = (Motion::default(), Vector::default());
        let center = pose.place(local_center);
        Self { pose, angle, motion, center, local_center, inverse_mass, inverse_inertia, force, slow_s: 0.0 }
    }

    /// Adds to the force on its centre in the next step.
    pub(super) fn push(&mut self, force: Vector) {
        self.force += force;
    }
}

/// Where a joint is in its range.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    Within,
    AtLower,
    AtUpper,
}

/// What holds a wheel in the hull: a revolute joint whose motor turns it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joint {
    /// Where it is in the hull's frame; in the wheel's it is at the origin.
    anchor: Vector,
    /// What its motor strives for, radians a second.
    pub(super) motor_rate: f32,
    limit: Limit,
    /// What it pushed with in the last step: along x, along y, and about the third axis at a limit.
    impulse: [f32; 3],
    motor_impulse: f32,
}

impl Joint {
    /// Radians to either side.
    const RANGE: f32 = 0.4;
    /// What its motor can do.
    const MAX_TORQUE: f32 = (180.0 * 900.0 * 0.02 * 0.02) as f32;

    pub(super) fn new(anchor: Vector) -> Self {
        Self { anchor, motor_rate: 0.0, limit: Limit::Within, impulse: [0.0; 3], motor_impulse: 0.0 }
    }
}

/// The five bodies and what holds them together.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) hull: Body,
    pub(super) wheels: [Body; WHEELS],
    pub(super) joints: [Joint; WHEELS],
}

/// A symmetric matrix of 3 × 3, of which the upper left part of 2 × 2 is used alone within limits.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    xx: f32,
    xy: f32,
    yy: f32,
    xz: f32,
    yz: f32,
    zz: f32,
    /// 1 / determinant, of the part and of the whole.
    inverse_of_part: f32,
    inverse: f32,
}

/// 1 / x, and 0 for 0.
fn inverse_or_zero(x: f32) -> f32 {
    if x == 0.0 { x } else { 1.0 / x }
}

impl Matrix {
    fn new([xx, xy, yy, xz, yz, zz]: [f32; 6]) -> Self {
        let mut matrix = Self { xx, xy, yy, xz, yz, zz, inverse_of_part: inverse_or_zero(xx * yy - xy * xy), inverse: 0.0 };
        let [x, y, z] = cross([xy, yy, yz], [xz, yz, zz]);
        matrix.inverse = inverse_or_zero(xx * x + xy * y + xz * z);
        matrix
    }

    /// `v` of part · v = b.
    fn solve_part(&self, b: Vector) -> Vector {
        vector(
            self.inverse_of_part * (self.yy * b.x - self.xy * b.y),
            self.inverse_of_part * (self.xx * b.y - self.xy * b.x),
        )
    }

    /// `v` of matrix · v = b, by Cramer's rule.
    fn solve(&self, b: [f32; 3]) -> [f32; 3] {
        let (ex, ey, ez) = ([self.xx, self.xy, self.xz], [self.xy, self.yy, self.yz], [self.xz, self.yz, self.zz]);
        [self.inverse * dot(b, cross(ey, ez)), self.inverse * dot(ex, cross(b, ez)), self.inverse * dot(ex, cross(ey, b))]
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// What of a joint stays as it is through the passes. `a` is the hull, `b` the wheel.
#[derive(Debug, Clone, Copy)]
struct Lever {
    /// From the centres of mass to the joint.
    a: Vector,
    b: Vector,
    matrix: Matrix,
    motor_mass: f32,
    motor_rate: f32,
    limit: Limit,
    limit_before: Limit,
    inverse_masses: (f32, f32),
    inverse_inertias: (f32, f32),
}

/// A wheel in the passes over velocities: how it moves, and what its joint has pushed with.
#[derive(Debug, Clone, Copy)]
struct Hold {
    wheel: Motion,
    impulse: [f32; 3],
    motor_impulse: f32,
}

/// What the passes over velocities change.
#[derive(Debug, Clone, Copy)]
struct Passing {
    hull: Motion,
    holds: [Hold; WHEELS],
}

impl Motion {
    fn numbers(&self) -> [f32; 3] {
        [self.velocity.x, self.velocity.y, self.rate]
    }
}

impl Passing {
    /// In the order of [`World::bodies_mut`].
    fn motions_mut(&mut self) -> impl Iterator<Item = &mut Motion> {
        std::iter::once(&mut self.hull).chain(self.holds.iter_mut().map(|hold| &mut hold.wheel))
    }

    /// One pass over all joints, in [`ORDER`].
    #[inline(always)]
    fn pass(&mut self, levers: &[Lever; WHEELS], max_motor_impulse: f32) {
        let [h0, h1, h2, h3] = &mut self.holds;
        let [l0, l1, l2, l3] = levers;
        let hull = l3.solve(self.hull, h3, max_motor_impulse);
        let hull = l2.solve(hull, h2, max_motor_impulse);
        let hull = l1.solve(hull, h1, max_motor_impulse);
        self.hull = l0.solve(hull, h0, max_motor_impulse);
    }

    /// Whether it is the other, bit for bit.
    #[inline]
    fn is(&self, other: &Self) -> bool {
        let alike = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let held_alike = |(a, b): (&Hold, &Hold)| {
            a.motor_impulse.to_bits() == b.motor_impulse.to_bits()
                && alike(&a.impulse, &b.impulse)
                && alike(&a.wheel.numbers(), &b.wheel.numbers())
        };
        self.holds.iter().zip(&other.holds).all(held_alike) && alike(&self.hull.numbers(), &other.hull.numbers())
    }
}

impl Lever {
    /// Pushes the two bodies apart with `impulse`, and about the axis as `about` says of either's arm. What that makes of the hull.
    #[inline(always)]
    fn push(&self, hull: Motion, wheel: &mut Motion, impulse: Vector, about: impl Fn(Vector) -> f32) -> Motion {
        let ((m_a, m_b), (i_a, i_b)) = (self.inverse_masses, self.inverse_inertias);
        wheel.velocity += m_b * impulse;
        wheel.rate += i_b * about(self.b);
        Motion { velocity: hull.velocity - m_a * impulse, rate: hull.rate - i_a * about(self.a) }
    }

    /// One pass over a joint: its motor, then what holds it together, then its limit. What it makes of the hull, which goes through all joints'
    /// passes in registers: they wait for one another, and for nothing else.
    #[inline(always)]
    fn solve(&self, mut hull: Motion, hold: &mut Hold, max_motor_impulse: f32) -> Motion {
        let Hold { wheel, impulse: pushed, motor_impulse } = hold;
        let (i_a, i_b) = self.inverse_inertias;

        let wanted = *motor_impulse + -self.motor_mass * (wheel.rate - hull.rate - self.motor_rate);
        let before = std::mem::replace(motor_impulse, wanted.clamp(-max_motor_impulse, max_motor_impulse));
        let impulse = *motor_impulse - before;
        hull.rate -= i_a * impulse;
        wheel.rate += i_b * impulse;

        let gaping = wheel.velocity + self.b.turned_at(wheel.rate) - hull.velocity - self.a.turned_at(hull.rate);
        if self.limit != Limit::Within {
            return self.solve_at_limit(gaping, hull, hold);
        }
        let impulse = self.matrix.solve_part(-gaping);
        pushed[0] += impulse.x;
        pushed[1] += impulse.y;
        self.push(hull, wheel, impulse, |arm| arm.cross(impulse))
    }

    #[cold]
    #[inline(never)]
    fn solve_at_limit(&self, gaping: Vector, hull: Motion, hold: &mut Hold) -> Motion {
        let Hold { wheel, impulse: pushed, .. } = hold;
        let mut impulse = self.matrix.solve([gaping.x, gaping.y, wheel.rate - hull.rate]).map(|x| -x);
        let about = pushed[2] + impulse[2];
        let pulls = if self.limit == Limit::AtLower { about < 0.0 } else { about > 0.0 };
        if pulls {
            // A limit pushes only: it lets go, and the rest holds alone.
            let held = self.matrix.solve_part(-gaping + pushed[2] * vector(self.matrix.xz, self.matrix.yz));
            impulse = [held.x, held.y, -pushed[2]];
            *pushed = [pushed[0] + held.x, pushed[1] + held.y, 0.0];
        } else {
            *pushed = std::array::from_fn(|i| pushed[i] + impulse[i]);
        }
        let along = vector(impulse[0], impulse[1]);
        self.push(hull, wheel, along, |arm| arm.cross(along) + impulse[2])
    }
}

/// The order in which joints are solved.
const ORDER: [usize; WHEELS] = [3, 2, 1, 0];

impl World {
    /// How far wheel `i` is turned against the hull, in radians.
    pub(super) fn joint_angle(&self, i: usize) -> f32 {
        self.wheels[i].angle - self.hull.angle
    }

    /// One step of `dt_s` seconds.
    pub(super) fn step(&mut self, dt_s: f32) {
        let mut passing = self.accelerated(dt_s);
        let levers = self.levers();
        warm_start(&levers, &mut passing);
        solve_velocities(&levers, &mut passing, dt_s);
        self.translate(&mut passing, dt_s);
        let is_solved = self.solve_positions(&levers);
        self.finish(&levers, &mut passing);
        self.rest(is_solved, dt_s);
    }

    fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        std::iter::once(&mut self.hull).chain(&mut self.wheels)
    }

    /// What the forces come to, which are spent with it. No body is turned by one.
    fn accelerated(&mut self, dt_s: f32) -> Passing {
        let accelerate = |body: &mut Body| {
            let Motion { velocity, rate } = body.motion;
            let acceleration = Vector::default() + body.inverse_mass * std::mem::take(&mut body.force);
            Motion { velocity: velocity + dt_s * acceleration, rate: rate + dt_s * body.inverse_inertia * 0.0 }
        };
        let hull = accelerate(&mut self.hull);
        let mut wheels = self.wheels.each_mut().map(accelerate).into_iter();
        let holds = self.joints.map(|Joint { impulse, motor_impulse, .. }| {
            let wheel = wheels.next().unwrap_or_default();
            Hold { wheel, impulse, motor_impulse }
        });
        Passing { hull, holds }
    }

    fn levers(&self) -> [Lever; WHEELS] {
        let hull = &self.hull;
        let (m_a, i_a) = (hull.inverse_mass, hull.inverse_inertia);
        std::array::from_fn(|j| {
            let (joint, wheel) = (&self.joints[j], &self.wheels[j]);
            let (m_b, i_b) = (wheel.inverse_mass, wheel.inverse_inertia);
            let a = hull.pose.rotation().apply(joint.anchor - hull.local_center);
            let b = wheel.pose.rotation().apply(Vector::default() - wheel.local_center);
            let angle = self.joint_angle(j);
            let limit = match () {
                () if angle <= -Joint::RANGE => Limit::AtLower,
                () if angle >= Joint::RANGE => Limit::AtUpper,
                () => Limit::Within,
            };
            Lever {
                a,
                b,
                matrix: Matrix::new([
                    m_a + m_b + a.y * a.y * i_a + b.y * b.y * i_b,
                    -a.y * a.x * i_a - b.y * b.x * i_b,
                    m_a + m_b + a.x * a.x * i_a + b.x * b.x * i_b,
                    -a.y * i_a - b.y * i_b,
                    a.x * i_a + b.x * i_b,
                    i_a + i_b,
                ]),
                motor_mass: 1.0 / (i_a + i_b),
                limit,
                limit_before: joint.limit,
                motor_rate: joint.motor_rate,
                inverse_masses: (m_a, m_b),
                inverse_inertias: (i_a, i_b),
            }
        })
    }

    /// Moves the bodies, no farther than Box2D lets them.
    fn translate(&mut self, passing: &mut Passing, dt_s: f32) {
        for (body, motion) in self.bodies_mut().zip(passing.motions_mut()) {
            let way = dt_s * motion.velocity;
            if way.length_squared() > MAX_TRANSLATION * MAX_TRANSLATION {
                motion.velocity = (MAX_TRANSLATION / way.length()) * motion.velocity;
            }
            let turn = dt_s * motion.rate;
            if turn * turn > MAX_ROTATION * MAX_ROTATION {
                motion.rate *= MAX_ROTATION / turn.abs();
            }
            body.center += dt_s * motion.velocity;
            body.angle += dt_s * motion.rate;
        }
    }

    /// Pulls gaping joints together, and turns back what is past a limit. Whether all is within the slop.
    fn solve_positions(&mut self, levers: &[Lever; WHEELS]) -> bool {
        (0..POSITION_PASSES).any(|_| ORDER.map(|j| self.solve_position(j, &levers[j])) == [true; WHEELS])
    }

    fn solve_position(&mut self, j: usize, lever: &Lever) -> bool {
        let (hull, wheel, joint) = (&mut self.hull, &mut self.wheels[j], &self.joints[j]);
        let ((m_a, m_b), (i_a, i_b)) = (lever.inverse_masses, lever.inverse_inertias);
        let angle = wheel.angle - hull.angle;
        let (past, correction) = match lever.limit {
            Limit::Within => (0.0, None),
            Limit::AtLower => {
                let beyond = angle + Joint::RANGE;
                (-beyond, Some((beyond + ANGULAR_SLOP).clamp(-MAX_ANGULAR_CORRECTION, 0.0)))
            }
            Limit::AtUpper => {
                let beyond = angle - Joint::RANGE;
                (beyond, Some((beyond - ANGULAR_SLOP).clamp(0.0, MAX_ANGULAR_CORRECTION)))
            }
        };
        if let Some(correction) = correction {
            let impulse = -lever.motor_mass * correction;
            hull.angle -= i_a * impulse;
            wheel.angle += i_b * impulse;
        }
        let a = Rotation::by(hull.angle).apply(joint.anchor - hull.local_center);
        let b = Rotation::by(wheel.angle).apply(Vector::default() - wheel.local_center);
        let gap = wheel.center + b - hull.center - a;
        let xx = m_a + m_b + i_a * a.y * a.y + i_b * b.y * b.y;
        let xy = -i_a * a.x * a.y - i_b * b.x * b.y;
        let yy = m_a + m_b + i_a * a.x * a.x + i_b * b.x * b.x;
        let inverse = inverse_or_zero(xx * yy - xy * xy);
        let impulse = -vector(inverse * (yy * gap.x - xy * gap.y), inverse * (xx * gap.y - xy * gap.x));
        hull.center -= m_a * impulse;
        hull.angle -= i_a * a.cross(impulse);
        wheel.center += m_b * impulse;
        wheel.angle += i_b * b.cross(impulse);
        gap.length() <= LINEAR_SLOP && past <= ANGULAR_SLOP
    }

    /// What the passes came to.
    fn finish(&mut self, levers: &[Lever; WHEELS], passing: &mut Passing) {
        for (body, &mut motion) in self.bodies_mut().zip(passing.motions_mut()) {
            body.motion = motion;
            let rotation = Rotation::by(body.angle);
            body.pose = Pose::new(body.center - rotation.apply(body.local_center), rotation);
        }
        for (j, joint) in self.joints.iter_mut().enumerate() {
            let Hold { impulse, motor_impulse, .. } = passing.holds[j];
            (joint.impulse, joint.motor_impulse, joint.limit) = (impulse, motor_impulse, levers[j].limit);
        }
    }

    /// What has hardly moved for half a second stands still. The car's next step wakes it.
    fn rest(&mut self, is_solved: bool, dt_s: f32) {
        let mut least_s = f32::MAX;
        for body in self.bodies_mut() {
            let Motion { velocity, rate } = body.motion;
            let is_moving = rate * rate > SLEEP_RATE * SLEEP_RATE || velocity.length_squared() > SLEEP_SPEED * SLEEP_SPEED;
            body.slow_s = if is_moving { 0.0 } else { body.slow_s + dt_s };
            least_s = least_s.min(body.slow_s);
        }
        if least_s >= SLEEP_AFTER_S && is_solved {
            for body in self.bodies_mut() {
                (body.motion, body.slow_s) = (Motion::default(), 0.0);
            }
        }
    }
}

/// Begins with what the joints pushed with in the last step. At a limit that is newly met, and away from any, nothing pushes about the axis.
fn warm_start(levers: &[Lever; WHEELS], passing: &mut Passing) {
    for j in ORDER {
        let (lever, Hold { wheel, impulse, motor_impulse }) = (&levers[j], &mut passing.holds[j]);
        if lever.limit == Limit::Within || lever.limit != lever.limit_before {
            impulse[2] = 0.0;
        }
        let (push, about, motor) = (vector(impulse[0], impulse[1]), impulse[2], *motor_impulse);
        passing.hull = lever.push(passing.hull, wheel, push, |arm: Vector| arm.cross(push) + motor + about);
    }
}

/// The passes over velocities. One is a function of [`Passing`] alone: once that repeats itself, each time or every other time, so it does
/// ever after, and the passes that are left are not done.
fn solve_velocities(levers: &[Lever; WHEELS], passing: &mut Passing, dt_s: f32) {
    let max_motor_impulse = dt_s * Joint::MAX_TORQUE;
    let mut last = *passing;
    for left in (0..VELOCITY_PASSES).rev() {
        let last_but_one = std::mem::replace(&mut last, *passing);
        passing.pass(levers, max_motor_impulse);
        if passing.is(&last) {
            return;
        }
        if passing.is(&last_but_one) {
            if left % 2 == 1 {
                *passing = last;
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::car::{Car, DT_S};
    use super::super::track::Point;
    use super::*;

    /// What is left out of the passes changes nothing: all 180 come to the same bits, however the car is driven; and mostly much is left out.
    #[test]
    fn passes_that_repeat_are_left_out_without_a_trace() {
        let mut car = Car::new(&Point { alpha: 0.0, beta: 0.7, x: 12.0, y: -30.0 });
        let (mut limits, mut short, mut parities) = (0, 0, [0; 2]);
        for step in 0_u32..2000 {
            let steer = f64::from(step % 97) / 30.0 - 1.5;
            car.control(steer, f64::from(step % 150 / 100), f64::from(step % 210 / 190));
            car.drive();
            let mut world = car.world.clone();
            let mut passing = world.accelerated(DT_S as f32);
            let levers = world.levers();
            warm_start(&levers, &mut passing);
            let (mut all, mut trail) = (passing, vec![passing]);
            for _ in 0..VELOCITY_PASSES {
                all.pass(&levers, DT_S as f32 * Joint::MAX_TORQUE);
                trail.push(all);
            }
            solve_velocities(&levers, &mut passing, DT_S as f32);
            assert!(passing.is(&all), "step {step}");
            limits += usize::from(levers.iter().any(|lever| lever.limit != Limit::Within));
            // Where it comes to rest, and where it goes back and forth.
            let first = (1..trail.len()).find(|&i| trail[i].is(&trail[i - 1]) || i > 1 && trail[i].is(&trail[i - 2]));
            short += usize::from(first.is_some_and(|first| first < VELOCITY_PASSES));
            if let Some(first) = first.filter(|&first| !trail[first].is(&trail[first - 1])) {
                parities[(VELOCITY_PASSES - first) % 2] += 1;
            }
            car.world.step(DT_S as f32);
        }
        assert!(limits > 50 && short > 1000 && parities.iter().all(|&n| n > 0), "{limits} {short} {parities:?}");
    }
}
