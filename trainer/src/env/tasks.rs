//! The MuJoCo tasks, one row each, as Gymnasium 1.4.0 defines them with default arguments.
//!
//! ```text
//! Ant                     obs     qpos[2..] | qvel | clip(cfrc_ext[1..], ±1)
//!                         reward  v_x + 1·healthy − (0.5·Σa² + 5e-4·Σ clip(cfrc_ext, ±1)²)
//! HalfCheetah             obs     qpos[1..] | qvel
//!                         reward  v_x − 0.1·Σa²
//! Hopper, Walker2d        obs     qpos[1..] | clip(qvel, ±10)
//!                         reward  v_x + 1·healthy − 1e-3·Σa²
//! Humanoid                obs     qpos[2..] | qvel | cinert[1..] | cvel[1..] | qfrc_actuator[6..] | cfrc_ext[1..]
//!                         reward  1.25·v_x + 5·healthy − (0.1·Σu² + min(5e-7·Σ cfrc_ext², 10))
//! HumanoidStandup         obs     as Humanoid
//!                         reward  z / 0.003 s − 0.1·Σu² − min(5e-7·Σ cfrc_ext², 10) + 1
//! InvertedDoublePendulum  obs     x | sin θ | cos θ | clip(qvel, ±10) | clip(qfrc_constraint[0], ±10)
//!                         reward  10·healthy − (0.01·x² + (y − 2)²) − (1e-3·ω₁² + 5e-3·ω₂²), x and y of the tip
//! InvertedPendulum        obs     qpos | qvel
//!                         reward  1·healthy
//! Pusher                  obs     qpos[..7] | qvel[..7] | tip | object | goal
//!                         reward  −|object − goal| − 0.1·Σa² − 0.5·|object − tip|
//! Reacher                 obs     cos θ | sin θ | goal | qvel[..2] | tip − goal
//!                         reward  −|tip − goal| − Σa²
//! Swimmer                 obs     qpos[2..] | qvel
//!                         reward  v_x − 1e-4·Σa²
//! ```
//!
//! `v_x` is the mean velocity over the step in m/s; an unhealthy step terminates, and a task without health never does. What is
//! left out at the front of `qpos` is where the agent is in the world. `a` is the action that was asked for, in binary32, and so
//! is its cost; `u` is MuJoCo's copy of it, in binary64.

use super::numpy_math::{norm, power, sum, sum_of_squares};
use super::numpy_random::NumpyRandom;
use super::task::{Observed, StepContext, Task, View, World};
use mujoco_rs::wrappers::MjModel;
use mujoco_rs::wrappers::mj_model::MjtObjBase;

/// The table.
pub(super) static TASKS: [Task; 11] = [
    Task {
        id: "Ant-v5",
        file: "ant.xml",
        timestep_s: 0.01,
        frame_skip: 5,
        actuators: (8, 1.0),
        time_limit: 1000,
        blocks: &[("qpos", 13), ("qvel", 14), ("cfrc_ext", 78)],
        healthy_bonus: 1.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_and_normal(rng, positions, velocities, 0.1),
        track: |world| world.data.xpos()[TORSO][0],
        position_x: first_position,
        observe: |world, obs| {
            obs.extend(&world.data.qpos()[2..]);
            obs.extend(world.data.qvel());
            obs.extend(contact_forces(world).skip(6));
        },
        observed: Observed::AllBut(2),
        view: View::follow(1, 0.5, 4.0),
        reward: |step| {
            let data = &step.world.data;
            let is_finite = data.qpos().iter().chain(data.qvel()).all(|x| x.is_finite());
            let healthy = is_finite && (0.2..=1.0).contains(&data.qpos()[2]);
            let rewards = step.velocity_x + bonus(1.0, healthy);
            let contact_cost = 5e-4 * sum_of_squares(contact_forces(step.world));
            (rewards - (action_cost(0.5, step) + contact_cost), !healthy)
        },
    },
    Task {
        id: "HalfCheetah-v5",
        file: "half_cheetah.xml",
        timestep_s: 0.01,
        frame_skip: 5,
        actuators: (6, 1.0),
        time_limit: 1000,
        blocks: &[("qpos", 8), ("qvel", 9)],
        healthy_bonus: 0.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_and_normal(rng, positions, velocities, 0.1),
        track: first_position,
        position_x: first_position,
        observe: |world, obs| {
            obs.extend(&world.data.qpos()[1..]);
            obs.extend(world.data.qvel());
        },
        observed: Observed::AllBut(1),
        view: View::follow(1, 0.5, 3.5),
        reward: |step| (step.velocity_x - action_cost(0.1, step), false),
    },
    Task {
        id: "Hopper-v5",
        file: "hopper.xml",
        timestep_s: 0.002,
        frame_skip: 4,
        actuators: (3, 1.0),
        time_limit: 1000,
        blocks: &[("qpos", 5), ("qvel", 6)],
        healthy_bonus: 1.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 5e-3),
        track: first_position,
        position_x: first_position,
        observe: observe_with_clipped_velocities,
        observed: Observed::AllBut(1),
        view: View::follow(1, 0.8, 3.0),
        reward: |step| {
            let data = &step.world.data;
            let (z, angle) = (data.qpos()[1], data.qpos()[2]);
            let bounded = data.qpos()[2..].iter().chain(data.qvel()).all(|&x| within(x, -100.0, 100.0));
            let healthy = bounded && z > 0.7 && within(angle, -0.2, 0.2);
            (step.velocity_x + bonus(1.0, healthy) - action_cost(1e-3, step), !healthy)
        },
    },
    Task {
        id: "Humanoid-v5",
        file: "humanoid.xml",
        timestep_s: 0.003,
        frame_skip: 5,
        actuators: (17, 0.4),
        time_limit: 1000,
        blocks: HUMANOID_BLOCKS,
        healthy_bonus: 5.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 1e-2),
        track: center_of_mass_x,
        position_x: first_position,
        observe: observe_humanoid,
        observed: Observed::AllBut(2),
        view: View { azimuth_deg: 120.0, ..View::follow(1, 1.0, 4.0) },
        reward: |step| {
            let healthy = within(step.world.data.qpos()[2], 1.0, 2.0);
            let rewards = 1.25 * step.velocity_x + bonus(5.0, healthy);
            (rewards - (control_cost(step.world) + impact_cost(step.world)), !healthy)
        },
    },
    Task {
        id: "HumanoidStandup-v5",
        file: "humanoidstandup.xml",
        timestep_s: 0.003,
        frame_skip: 5,
        actuators: (17, 0.4),
        time_limit: 1000,
        blocks: HUMANOID_BLOCKS,
        healthy_bonus: 0.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 1e-2),
        track: nowhere,
        position_x: first_position,
        observe: observe_humanoid,
        observed: Observed::AllBut(2),
        view: View { azimuth_deg: 120.0, ..View::follow(1, 0.6, 4.0) },
        reward: |step| {
            let data = &step.world.data;
            // The height over the simulator's own step: a speed that no body has, but the definition.
            let rise = data.qpos()[2] / data.model().opt().timestep;
            (rise - control_cost(step.world) - impact_cost(step.world) + 1.0, false)
        },
    },
    Task {
        id: "InvertedDoublePendulum-v5",
        file: "inverted_double_pendulum.xml",
        timestep_s: 0.01,
        frame_skip: 5,
        actuators: (1, 1.0),
        time_limit: 1000,
        blocks: &[("x", 1), ("sin", 2), ("cos", 2), ("qvel", 3), ("qfrc_constraint", 1)],
        healthy_bonus: 10.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_and_normal(rng, positions, velocities, 0.1),
        track: nowhere,
        position_x: first_position,
        observe: |world, obs| {
            let (x, angles) = (world.data.qpos()[0], &world.data.qpos()[1..]);
            obs.push(x);
            obs.extend(angles.iter().map(|angle| angle.sin()));
            obs.extend(angles.iter().map(|angle| angle.cos()));
            obs.extend(clipped(world.data.qvel(), 10.0));
            obs.extend(clipped(&world.data.qfrc_constraint()[..1], 10.0));
        },
        observed: Observed::By(|_, obs, positions, velocities| {
            positions[0] = obs[0];
            turn(&obs[1..3], &obs[3..5], &mut positions[1..]);
            velocities.copy_from_slice(&obs[5..8]);
        }),
        view: View::fixed([0.0, 0.0, 0.5], 3.0),
        reward: |step| {
            let [x, _, y] = step.world.data.site_xpos()[0];
            let velocities = step.world.data.qvel();
            let fell = y <= 1.0;
            let distance_penalty = 0.01 * power(x, 2.0) + power(y - 2.0, 2.0);
            let velocity_penalty = 1e-3 * power(velocities[1], 2.0) + 5e-3 * power(velocities[2], 2.0);
            (bonus(10.0, !fell) - distance_penalty - velocity_penalty, fell)
        },
    },
    Task {
        id: "InvertedPendulum-v5",
        file: "inverted_pendulum.xml",
        timestep_s: 0.02,
        frame_skip: 2,
        actuators: (1, 3.0),
        time_limit: 1000,
        blocks: &[("qpos", 2), ("qvel", 2)],
        healthy_bonus: 1.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 0.01),
        track: nowhere,
        position_x: first_position,
        observe: |world, obs| {
            obs.extend(world.data.qpos());
            obs.extend(world.data.qvel());
        },
        observed: Observed::AllBut(0),
        view: View::fixed([0.0, 0.0, 0.2], 2.5),
        reward: |step| {
            let data = &step.world.data;
            let is_finite = data.qpos().iter().chain(data.qvel()).all(|x| x.is_finite());
            let healthy = is_finite && data.qpos()[1].abs() <= 0.2;
            (bonus(1.0, healthy), !healthy)
        },
    },
    Task {
        id: "Pusher-v5",
        file: "pusher_v5.xml",
        timestep_s: 0.01,
        frame_skip: 5,
        actuators: (7, 2.0),
        time_limit: 100,
        blocks: &[("qpos", 7), ("qvel", 7), ("tip", 3), ("object", 3), ("goal", 3)],
        healthy_bonus: 0.0,
        bodies: &["tips_arm", "object", "goal"],
        start: |rng, positions, velocities| {
            // Positions end with the object's and the goal's, y before x.
            let object = loop {
                let object = [rng.uniform(-0.3, 0.0), rng.uniform(-0.2, 0.2)];
                if norm(&object) > 0.17 {
                    break object;
                }
            };
            let n = positions.len();
            positions[n - 4..n - 2].copy_from_slice(&object);
            positions[n - 2..].fill(0.0);
            add_uniform(rng, velocities, 0.005);
            velocities[n - 4..].fill(0.0);
        },
        track: nowhere,
        position_x: nowhere,
        observe: |world, obs| {
            obs.extend(&world.data.qpos()[..7]);
            obs.extend(&world.data.qvel()[..7]);
            for body in ["tips_arm", "object", "goal"] {
                obs.extend(world.body(body));
            }
        },
        observed: Observed::By(|model, obs, positions, velocities| {
            positions[..7].copy_from_slice(&obs[..7]);
            velocities[..7].copy_from_slice(&obs[7..14]);
            // Object and goal slide from where the model has them, y before x. Their velocities are not observed.
            for (name, seen, at) in [("object", 17, 7), ("goal", 20, 9)] {
                let [x, y] = origin(model, name);
                (positions[at], positions[at + 1]) = (obs[seen + 1] - y, obs[seen] - x);
            }
        }),
        view: View { azimuth_deg: 180.0, elevation_deg: -35.0, ..View::fixed([0.2, -0.3, -0.1], 2.6) },
        reward: |step| {
            let object = step.world.body("object");
            let near_cost = norm(&difference(object, step.world.body("tips_arm"))) * 0.5;
            let distance_cost = norm(&difference(object, step.world.body("goal")));
            (-distance_cost - action_cost(0.1, step) - near_cost, false)
        },
    },
    Task {
        id: "Reacher-v5",
        file: "reacher.xml",
        timestep_s: 0.01,
        frame_skip: 2,
        actuators: (2, 1.0),
        time_limit: 50,
        blocks: &[("cos", 2), ("sin", 2), ("goal", 2), ("qvel", 2), ("tip_to_goal", 2)],
        healthy_bonus: 0.0,
        bodies: &["fingertip", "target"],
        start: |rng, positions, velocities| {
            add_uniform(rng, positions, 0.1);
            // Positions end with the goal's.
            let goal = loop {
                let goal = [rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)];
                if norm(&goal) < 0.2 {
                    break goal;
                }
            };
            positions[2..].copy_from_slice(&goal);
            add_uniform(rng, velocities, 0.005);
            velocities[2..].fill(0.0);
        },
        track: nowhere,
        position_x: nowhere,
        observe: |world, obs| {
            let (angles, goal) = world.data.qpos().split_at(2);
            obs.extend(angles.iter().map(|angle| angle.cos()));
            obs.extend(angles.iter().map(|angle| angle.sin()));
            obs.extend(goal);
            obs.extend(&world.data.qvel()[..2]);
            obs.extend(&difference(world.body("fingertip"), world.body("target"))[..2]);
        },
        observed: Observed::By(|_, obs, positions, velocities| {
            turn(&obs[2..4], &obs[..2], &mut positions[..2]);
            positions[2..].copy_from_slice(&obs[4..6]);
            velocities[..2].copy_from_slice(&obs[6..8]);
        }),
        view: View { elevation_deg: -70.0, ..View::fixed([0.0, 0.0, 0.0], 0.9) },
        reward: |step| {
            let distance = norm(&difference(step.world.body("fingertip"), step.world.body("target")));
            (-distance - action_cost(1.0, step), false)
        },
    },
    Task {
        id: "Swimmer-v5",
        file: "swimmer.xml",
        timestep_s: 0.01,
        frame_skip: 4,
        actuators: (2, 1.0),
        time_limit: 1000,
        blocks: &[("qpos", 3), ("qvel", 5)],
        healthy_bonus: 0.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 0.1),
        track: first_position,
        position_x: first_position,
        observe: |world, obs| {
            obs.extend(&world.data.qpos()[2..]);
            obs.extend(world.data.qvel());
        },
        observed: Observed::AllBut(2),
        view: View { elevation_deg: -60.0, ..View::follow(1, 0.0, 4.0) },
        reward: |step| (step.velocity_x - action_cost(1e-4, step), false),
    },
    Task {
        id: "Walker2d-v5",
        file: "walker2d_v5.xml",
        timestep_s: 0.002,
        frame_skip: 4,
        actuators: (6, 1.0),
        time_limit: 1000,
        blocks: &[("qpos", 8), ("qvel", 9)],
        healthy_bonus: 1.0,
        bodies: &[],
        start: |rng, positions, velocities| add_uniform_to_both(rng, positions, velocities, 5e-3),
        track: first_position,
        position_x: first_position,
        observe: observe_with_clipped_velocities,
        observed: Observed::AllBut(1),
        view: View::follow(1, 0.9, 4.0),
        reward: |step| {
            let (z, angle) = (step.world.data.qpos()[1], step.world.data.qpos()[2]);
            let healthy = within(z, 0.8, 2.0) && within(angle, -1.0, 1.0);
            (step.velocity_x + bonus(1.0, healthy) - action_cost(1e-3, step), !healthy)
        },
    },
];

/// What [`observe_humanoid`] writes.
const HUMANOID_BLOCKS: &[(&str, usize)] =
    &[("qpos", 22), ("qvel", 23), ("cinert", 130), ("cvel", 78), ("qfrc_actuator", 17), ("cfrc_ext", 78)];

/// The body whose frame Ant is tracked by.
const TORSO: usize = 1;

fn first_position(world: &World) -> f64 {
    world.data.qpos()[0]
}

/// Of an arm that stays where it is, and of a task that rewards no speed.
fn nowhere(_: &World) -> f64 {
    0.0
}

/// x of the centre of mass of everything in the model, in metres. It lags the positions as MuJoCo's derived quantities do.
fn center_of_mass_x(world: &World) -> f64 {
    let masses = world.data.model().body_mass();
    // numpy adds body after body here, and does not fuse.
    let moment = masses.iter().zip(world.data.xipos()).fold(0.0, |sum, (mass, position)| sum + mass * position[0]);
    moment / sum(masses)
}

fn observe_with_clipped_velocities(world: &World, obs: &mut Vec<f64>) {
    obs.extend(&world.data.qpos()[1..]);
    obs.extend(clipped(world.data.qvel(), 10.0));
}

/// The world body (index 0) and the free joint's six forces, which no actuator reaches, are constants and left out.
fn observe_humanoid(world: &World, obs: &mut Vec<f64>) {
    obs.extend(&world.data.qpos()[2..]);
    obs.extend(world.data.qvel());
    obs.extend(world.data.cinert()[1..].as_flattened());
    obs.extend(world.data.cvel()[1..].as_flattened());
    obs.extend(&world.data.qfrc_actuator()[6..]);
    obs.extend(world.data.cfrc_ext()[1..].as_flattened());
}

/// Every body's external force and torque, bounded. [B·6]
fn contact_forces(world: &World) -> impl Iterator<Item = f64> {
    clipped(world.data.cfrc_ext().as_flattened(), 1.0)
}

fn clipped(values: &[f64], bound: f64) -> impl Iterator<Item = f64> {
    values.iter().map(move |x| x.clamp(-bound, bound))
}

/// Angles whose sines and cosines these are. A network's need not have length 1.
fn turn(sines: &[f64], cosines: &[f64], angles: &mut [f64]) {
    angles.iter_mut().zip(sines.iter().zip(cosines)).for_each(|(angle, (sin, cos))| *angle = sin.atan2(*cos));
}

/// x and y of a body in its parent, where its joints are at 0. A task's own bodies are there: the environment looked them up.
fn origin(model: &MjModel, body: &str) -> [f64; 2] {
    let [x, y, _] = model.name_to_id(MjtObjBase::mjOBJ_BODY, body).map_or([0.0; 3], |index| model.body_pos()[index]);
    [x, y]
}

/// Strictly between.
fn within(x: f64, low: f64, high: f64) -> bool {
    low < x && x < high
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn bonus(reward: f64, healthy: bool) -> f64 {
    if healthy { reward } else { 0.0 }
}

/// `weight · Σ a²` in binary32: numpy stays in the precision of the action, the weight included.
fn action_cost(weight: f32, step: &StepContext<'_>) -> f64 {
    f64::from(weight * sum_of_squares(step.action.iter().copied()))
}

/// `0.1 · Σ u²`: the humanoids charge the simulator's copy of the action, which is binary64.
fn control_cost(world: &World) -> f64 {
    0.1 * sum_of_squares(world.data.ctrl().iter().copied())
}

fn impact_cost(world: &World) -> f64 {
    (5e-7 * sum_of_squares(world.data.cfrc_ext().as_flattened().iter().copied())).min(10.0)
}

fn add_uniform(rng: &mut NumpyRandom, values: &mut [f64], noise: f64) {
    values.iter_mut().for_each(|x| *x += rng.uniform(-noise, noise));
}

fn add_normal(rng: &mut NumpyRandom, values: &mut [f64], noise: f64) {
    values.iter_mut().for_each(|x| *x += noise * rng.standard_normal());
}

fn add_uniform_to_both(rng: &mut NumpyRandom, positions: &mut [f64], velocities: &mut [f64], noise: f64) {
    add_uniform(rng, positions, noise);
    add_uniform(rng, velocities, noise);
}

fn add_uniform_and_normal(rng: &mut NumpyRandom, positions: &mut [f64], velocities: &mut [f64], noise: f64) {
    add_uniform(rng, positions, noise);
    add_normal(rng, velocities, noise);
}
