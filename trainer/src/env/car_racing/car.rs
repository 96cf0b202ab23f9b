//! The car: four wheels that grip, slip, are driven and braked, under a hull.
//!
//! ```text
//! steering, gas, brake ─ each wheel: its joint's motor, its rotation ω, the force of its tyre, at most what the ground bears ─▶ world.step
//! ```
//!
//! As Gymnasium 1.4.0's `car_dynamics.py` computes it: in binary64 on what Box2D gives in binary32, in its order of operations, with its
//! constants as the products they are written as.

use super::plane::vector;
use super::scene::{Hull, Wheel};
use super::shape::Polygon;
use super::track::{Point, sign};
use super::world::{Body, Joint, WHEELS, World};
use std::sync::LazyLock;

/// Seconds of one step, and steps of one second.
pub(super) const DT_S: f64 = 1.0 / 50.0;

const SIZE: f64 = 0.02;
const ENGINE_POWER: f64 = 100_000_000.0 * SIZE * SIZE;
const WHEEL_MOMENT_OF_INERTIA: f64 = 4000.0 * SIZE * SIZE;
/// What a tyre bears on the road. Grass bears 0.6 of it.
const FRICTION_LIMIT: f64 = 1_000_000.0 * SIZE * SIZE;
const WHEEL_RADIUS: f64 = 1.0 * 27.0 * SIZE;
/// Newtons for a metre a second of slip.
const GRIP: f64 = 205_000.0 * SIZE * SIZE;
/// Radians a second that a full brake takes off in a step.
const BRAKE_FORCE: f64 = 15.0;

/// Front left, front right, rear left, rear right, in units of [`SIZE`].
const WHEEL_POSITIONS: [[f64; 2]; WHEELS] = [[-55.0, 80.0], [55.0, 80.0], [-55.0, -82.0], [55.0, -82.0]];
const WHEEL_POLYGON: [[f64; 2]; 4] = [[-14.0, 27.0], [14.0, 27.0], [14.0, -27.0], [-14.0, -27.0]];
const HULL_POLYGONS: [&[[f64; 2]]; 4] = [
    &[[-60.0, 130.0], [60.0, 130.0], [60.0, 110.0], [-60.0, 110.0]],
    &[[-15.0, 120.0], [15.0, 120.0], [20.0, 20.0], [-20.0, 20.0]],
    &[
        [25.0, 20.0],
        [50.0, -10.0],
        [50.0, -40.0],
        [20.0, -90.0],
        [-20.0, -90.0],
        [-50.0, -40.0],
        [-50.0, -10.0],
        [-25.0, 20.0],
    ],
    &[[-50.0, -120.0], [50.0, -120.0], [50.0, -90.0], [-50.0, -90.0]],
];

/// What all cars are made of.
pub(super) struct Shapes {
    pub(super) hull: [Polygon; 4],
    pub(super) wheel: Polygon,
}

pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let polygon = |points: &[[f64; 2]]| {
        let points: Vec<[f32; 2]> = points.iter().map(|point| point.map(|x| (x * SIZE) as f32)).collect();
        Polygon::around(&points)
    };
    Shapes { hull: HULL_POLYGONS.map(polygon), wheel: polygon(&WHEEL_POLYGON) }
});

/// What a wheel is besides a body.
#[derive(Debug, Clone, Copy, Default)]
struct Tyre {
    gas: f64,
    steer: f64,
    /// Radians a second about its axle, and their integral.
    omega: f64,
    phase: f64,
    /// How many tiles it touches.
    tiles: u32,
}

/// A car.
#[derive(Debug, Clone)]
pub(super) struct Car {
    pub(super) world: World,
    tyres: [Tyre; WHEELS],
    brake: f64,
}

impl Car {
    /// A car that stands at `start`. Its wheels are not where its joints want them: they are once it has stepped.
    pub(super) fn new(start: &Point) -> Self {
        let Shapes { hull, wheel } = &*SHAPES;
        let angle = start.beta as f32;
        let body = |[x, y]: [f64; 2], polygons: &[Polygon], density| {
            let position = vector((start.x + x * SIZE) as f32, (start.y + y * SIZE) as f32);
            Body::new(position, angle, polygons, density)
        };
        let world = World {
            hull: body([0.0, 0.0], hull, 1.0),
            wheels: WHEEL_POSITIONS.map(|position| body(position, &[*wheel], 0.1)),
            joints: WHEEL_POSITIONS.map(|[x, y]| Joint::new(vector((x * SIZE) as f32, (y * SIZE) as f32))),
        };
        Self { world, tyres: [Tyre::default(); WHEELS], brake: 0.0 }
    }

    /// What is done from now on. `steer` is where the front wheels strive for, radians to the left; `gas` counts within 0 to 1, rises by 0.1
    /// a step at most and falls at once; from 0.9 on `brake` locks the wheels. Neither steering nor brake is clipped.
    pub(super) fn control(&mut self, steer: f64, gas: f64, brake: f64) {
        let [front_left, front_right, rear @ ..] = &mut self.tyres;
        (front_left.steer, front_right.steer) = (steer, steer);
        for tyre in rear {
            let rise = gas.clamp(0.0, 1.0) - tyre.gas;
            tyre.gas += if rise > 0.1 { 0.1 } else { rise };
        }
        self.brake = brake;
    }

    /// Turns and pushes the wheels, with what they touched in the last step.
    pub(super) fn drive(&mut self) {
        for i in 0..WHEELS {
            self.drive_wheel(i);
        }
    }

    fn drive_wheel(&mut self, i: usize) {
        let Self { world, tyres, brake } = self;
        let angle = f64::from(world.joint_angle(i));
        let (body, tyre) = (&mut world.wheels[i], &mut tyres[i]);
        let aside = tyre.steer - angle;
        world.joints[i].motor_rate = (sign(aside) * (50.0 * aside.abs()).min(3.0)) as f32;

        let limit = if tyre.tiles > 0 { FRICTION_LIMIT } else { FRICTION_LIMIT * 0.6 };
        let rotation = body.pose.rotation();
        let [forward, side] = [vector(0.0, 1.0), vector(1.0, 0.0)].map(|axis| {
            let axis = rotation.apply(axis);
            [axis.x, axis.y].map(f64::from)
        });
        let [vx, vy] = [body.motion.velocity.x, body.motion.velocity.y].map(f64::from);
        let forward_speed = forward[0] * vx + forward[1] * vy;
        let side_speed = side[0] * vx + side[1] * vy;

        tyre.omega += DT_S * ENGINE_POWER * tyre.gas / WHEEL_MOMENT_OF_INERTIA / (tyre.omega.abs() + 5.0);
        if *brake >= 0.9 {
            tyre.omega = 0.0;
        } else if *brake > 0.0 {
            tyre.omega += -sign(tyre.omega) * (BRAKE_FORCE * *brake).min(tyre.omega.abs());
        }
        tyre.phase += tyre.omega * DT_S;

        let mut forward_force = (-forward_speed + tyre.omega * WHEEL_RADIUS) * GRIP;
        let mut side_force = -side_speed * GRIP;
        let force = (forward_force * forward_force + side_force * side_force).sqrt();
        if force > limit {
            forward_force = forward_force / force * limit;
            side_force = side_force / force * limit;
        }
        tyre.omega -= DT_S * forward_force * WHEEL_RADIUS / WHEEL_MOMENT_OF_INERTIA;
        let along = |axis: usize| (side_force * side[axis] + forward_force * forward[axis]) as f32;
        body.push(vector(along(0), along(1)));
    }

    /// Wheel `i` came onto a tile, or left one.
    pub(super) fn touch(&mut self, i: usize, is_on: bool) {
        let tiles = &mut self.tyres[i].tiles;
        *tiles = if is_on { *tiles + 1 } else { tiles.saturating_sub(1) };
    }

    /// How many tiles wheel `i` touches.
    pub(super) fn tiles(&self, i: usize) -> u32 {
        self.tyres[i].tiles
    }

    /// How much gas the rear wheels get.
    pub(super) fn gas(&self) -> f64 {
        self.tyres[WHEELS - 1].gas
    }

    pub(super) fn hull(&self) -> Hull<'static> {
        let body = &self.world.hull;
        Hull {
            pose: body.pose,
            angle: body.angle,
            velocity: [body.motion.velocity.x, body.motion.velocity.y],
            angular_velocity: body.motion.rate,
            polygons: SHAPES.hull.each_ref().map(Polygon::vertices),
        }
    }

    pub(super) fn wheels(&self) -> [Wheel<'static>; WHEELS] {
        std::array::from_fn(|i| {
            let Tyre { omega, phase, .. } = self.tyres[i];
            let (pose, joint_angle) = (self.world.wheels[i].pose, self.world.joint_angle(i));
            Wheel { pose, omega, phase, joint_angle, polygon: SHAPES.wheel.vertices() }
        })
    }
}
