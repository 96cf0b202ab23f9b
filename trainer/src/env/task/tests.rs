//! The language of tasks on a model of our own: what each quantity reads, what each step of a measure makes of it, what is drawn, and
//! what each slip is answered with.

use super::super::{AnyEnv, Env, Physics, Pose};
use crate::run::config::{Config, EnvConfig};
use mujoco_rs::wrappers::mj_model::MjtObjBase;
use mujoco_rs::wrappers::{MjData, MjModel};
use std::path::Path;

/// A crawler that moves freely, an arm beside it, a cart that slides, and a sensor of every size.
const MODEL: &str = r#"<mujoco model="kit">
  <option timestep="0.01"/>
  <default><geom mass="1" contype="0" conaffinity="0"/></default>
  <worldbody>
    <body name="crawler" pos="0 0 1">
      <freejoint name="root"/>
      <geom name="hull" type="box" size="0.2 0.1 0.05"/>
      <site name="nose" pos="0.2 0 0"/>
      <body name="leg" pos="0 0.1 0">
        <joint name="knee" axis="0 1 0" damping="0.5" armature="0.1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02"/>
        <site name="foot" pos="0 0 -0.3"/>
      </body>
    </body>
    <body name="cart" pos="0.5 2 0.25">
      <joint name="x" type="slide" axis="1 0 0" ref="0.1" damping="0.2"/>
      <joint name="z" type="slide" axis="0 0 1" stiffness="50"/>
      <geom type="sphere" size="0.1"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="knee" joint="knee" gear="2" ctrlrange="-1 1" ctrllimited="true"/>
    <position name="cart" joint="x" kp="3" kv="0.5" ctrlrange="-2 2" ctrllimited="true"/>
  </actuator>
  <sensor>
    <accelerometer name="imu" site="nose"/>
    <jointpos name="bend" joint="knee"/>
    <framequat name="turn" objtype="body" objname="crawler"/>
  </sensor>
  <keyframe>
    <key name="crouched" qpos="0 0 0.5 1 0 0 0 0.7 0.3 0" qvel="0 0 0 0 0 0 0 0.2 0"/>
  </keyframe>
</mujoco>"#;

/// What observes something and rewards something.
const PLAIN: &str = "observe = [\"qpos\"]\nreward = [\"one\"]\n";

fn config(folder: &Path, task: &str) -> Result<EnvConfig, String> {
    std::fs::write(folder.join("kit.xml"), MODEL).unwrap();
    let path = folder.join("kit.toml");
    std::fs::write(&path, format!("[env]\nid = \"Kit\"\nmjcf = \"kit.xml\"\n[env.task]\n{task}")).unwrap();
    Config::default().overlay_file(&path, &[]).map(|config| config.env).map_err(|error| format!("{error:#}"))
}

fn made(task: &str, physics: Physics) -> Result<AnyEnv, String> {
    let folder = tempfile::tempdir().unwrap();
    AnyEnv::with(&config(folder.path(), task)?, physics).map_err(|error| format!("{error:#}"))
}

fn make(task: &str) -> AnyEnv {
    made(task, Physics::Task).unwrap()
}

/// The first observation, and those of `steps` steps, with the rewards.
fn play(env: &mut AnyEnv, seed: u64, steps: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut obs = vec![f64::NAN; env.spec().obs];
    env.reset(seed, &mut obs).unwrap();
    let (mut seen, mut rewards) = (vec![obs.clone()], Vec::new());
    for step in 0..steps {
        rewards.push(env.step(&[0.5, -0.25 + 0.1 * step as f32], &mut obs).unwrap().reward);
        seen.push(obs.clone());
    }
    (seen, rewards)
}

/// The same five steps by MuJoCo itself; what `look` sees at the start and after each.
fn reference<T>(frame_skip: usize, look: impl Fn(&MjData<&MjModel>) -> T) -> Vec<T> {
    let model = MjModel::from_xml_string(MODEL).unwrap();
    let mut data = MjData::new(&model);
    data.forward();
    let mut seen = vec![look(&data)];
    for step in 0..5 {
        data.ctrl_mut().copy_from_slice(&[0.5, f64::from(-0.25 + 0.1 * step as f32)]);
        (0..frame_skip).for_each(|_| data.step());
        data.rne_post_constraint();
        seen.push(look(&data));
    }
    seen
}

#[test]
fn every_quantity_is_the_simulators_own() {
    type Look = fn(&MjData<&MjModel>) -> Vec<f64>;
    let cases: [(&str, Look); 32] = [
        ("qpos", |data| data.qpos().to_vec()),
        ("qpos[2:]", |data| data.qpos()[2..].to_vec()),
        ("qpos[:2]", |data| data.qpos()[..2].to_vec()),
        ("qpos[1:3]", |data| data.qpos()[1..3].to_vec()),
        ("qpos[-1]", |data| vec![data.qpos()[9]]),
        ("qpos[-3:-1]", |data| data.qpos()[7..9].to_vec()),
        ("qvel", |data| data.qvel().to_vec()),
        ("qacc", |data| data.qacc().to_vec()),
        ("ctrl", |data| data.ctrl().to_vec()),
        ("action", |data| data.ctrl().to_vec()),
        ("sensordata", |data| data.sensordata().to_vec()),
        ("sensor:imu", |data| data.sensordata()[..3].to_vec()),
        ("sensor:bend", |data| vec![data.sensordata()[3]]),
        ("sensor:turn[1:]", |data| data.sensordata()[5..].to_vec()),
        ("actuator_force", |data| data.actuator_force().to_vec()),
        ("qfrc_actuator[6:]", |data| data.qfrc_actuator()[6..].to_vec()),
        ("qfrc_constraint", |data| data.qfrc_constraint().to_vec()),
        ("cinert[10:]", |data| data.cinert()[1..].as_flattened().to_vec()),
        ("cvel", |data| data.cvel().as_flattened().to_vec()),
        ("cfrc_ext", |data| data.cfrc_ext().as_flattened().to_vec()),
        ("joint:root", |data| data.qpos()[..7].to_vec()),
        ("joint_velocity:root", |data| data.qvel()[..6].to_vec()),
        ("joint:knee", |data| vec![data.qpos()[7]]),
        ("joint_velocity:z", |data| vec![data.qvel()[8]]),
        ("body:leg", |data| data.xpos()[2].to_vec()),
        ("geom:hull[2]", |data| vec![data.geom_xpos()[0][2]]),
        ("site:foot", |data| data.site_xpos()[1].to_vec()),
        ("site_velocity:foot", |data| data.object_velocity(MjtObjBase::mjOBJ_SITE, 1, false)[3..].to_vec()),
        ("geom_velocity:hull", |data| data.object_velocity(MjtObjBase::mjOBJ_GEOM, 0, false)[3..].to_vec()),
        ("body_velocity:leg", |data| data.object_velocity(MjtObjBase::mjOBJ_XBODY, 2, false)[3..].to_vec()),
        ("time", |data| vec![data.time()]),
        ("com", |data| {
            let masses = data.model().body_mass();
            let moment = |axis: usize| masses.iter().zip(data.xipos()).map(|(m, x)| m * x[axis]).sum::<f64>();
            (0..3).map(|axis| moment(axis) / masses.iter().sum::<f64>()).collect()
        }),
    ];
    for (of, look) in cases {
        let mut env = make(&format!("frame_skip = 2\nobserve = [\"{of}\"]\nreward = [\"one\"]\n"));
        let (expected, (found, _)) = (reference(2, look), play(&mut env, 0, 5));
        let block = of.split('[').next().unwrap();
        assert_eq!(env.spec().blocks, [(block.to_owned(), expected[0].len())]);
        for (expected, found) in expected.iter().zip(&found) {
            let close = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || of == "time" && (a - b).abs() < 1e-12;
            assert!(expected.len() == found.len() && expected.iter().zip(found).all(close), "{of}: {expected:?} {found:?}");
        }
    }
}

#[test]
fn a_point_moves_as_fast_as_its_place_changes() {
    // Places lag velocities by nothing: both are of the last simulator step's beginning.
    for thing in ["site_velocity:foot", "body_velocity:leg", "geom_velocity:hull"] {
        let place = thing.replace("_velocity", "");
        let (seen, _) = play(&mut make(&format!("observe = [\"{place}\", \"{thing}\"]\nreward = [\"one\"]\n")), 0, 30);
        let (before, after) = (&seen[28], &seen[29]);
        for axis in 0..3 {
            let rate = (after[axis] - before[axis]) / 0.01;
            let mean = 0.5 * (before[3 + axis] + after[3 + axis]);
            assert!((rate - mean).abs() < 0.02 * mean.abs().max(0.1), "{thing}[{axis}]: {rate} {mean}");
        }
        assert!(after[3..].iter().any(|v| v.abs() > 0.1), "{thing} moves");
    }
}

/// Every step of a quantity and of a measure, against the same by hand.
#[test]
fn what_is_made_of_a_quantity_is_made_in_order() {
    let of = |term: &str| {
        let task = format!("frame_skip = 2\nobserve = [\"qpos\", \"qvel\"]\nreward = [{term}]\n");
        let (seen, rewards) = play(&mut make(&task), 0, 5);
        seen.windows(2).map(|two| [two[0].clone(), two[1].clone()]).zip(rewards).collect::<Vec<_>>()
    };
    type Hand = fn(&[Vec<f64>; 2]) -> f64;
    let cases: [(&str, Hand); 21] = [
        ("\"one\"", |_| 1.0),
        ("\"zero\"", |_| 0.0),
        ("{ of = \"qpos[7]\" }", |[_, q]| q[7]),
        ("{ of = \"qpos[7]\", weight = -2 }", |[_, q]| -2.0 * q[7]),
        ("{ of = \"qpos[2]\", minus = 0.25, weight = 3 }", |[_, q]| 3.0 * (q[2] - 0.25)),
        ("{ of = \"qpos[8]\", minus = \"qpos[7]\" }", |[_, q]| q[8] - q[7]),
        ("{ of = \"qpos[2]\", scale = 3, divide = 7 }", |[_, q]| q[2] * 3.0 / 7.0),
        ("{ of = \"qpos[7]\", scale = 2, map = \"sin\" }", |[_, q]| (q[7] * 2.0).sin()),
        ("{ of = \"qpos[7]\", map = \"cos\" }", |[_, q]| q[7].cos()),
        ("{ of = \"qvel[2]\", map = \"abs\" }", |[_, q]| q[12].abs()),
        ("{ of = \"qvel[2]\", map = \"tanh\" }", |[_, q]| q[12].tanh()),
        ("{ of = \"qvel[2]\", clip = 0.3 }", |[_, q]| q[12].clamp(-0.3, 0.3)),
        ("{ of = \"qvel[2]\", scale = 2, clip = [-0.5, 0.1] }", |[_, q]| (q[12] * 2.0).clamp(-0.5, 0.1)),
        ("{ of = \"qpos[:3]\", minus = [1, 0, 0.5], take = \"norm\" }", |[_, q]| {
            let d = [q[0] - 1.0, q[1], q[2] - 0.5];
            d.iter().fold(0.0, |sum, x| sum + x * x).sqrt()
        }),
        ("{ of = \"qpos[7:9]\", take = \"sum\" }", |[_, q]| 0.0 + q[7] + q[8]),
        ("{ of = \"qpos[7:9]\", take = \"squares\" }", |[_, q]| 0.0 + q[7] * q[7] + q[8] * q[8]),
        ("{ of = \"qpos[7:9]\", take = \"min\" }", |[_, q]| q[7].min(q[8])),
        ("{ of = \"qpos[7:9]\", take = \"max\" }", |[_, q]| q[7].max(q[8])),
        ("{ of = \"qpos[2]\", rate = true, weight = 2 }", |[before, q]| 2.0 * ((q[2] - before[2]) / 0.02)),
        ("{ of = \"qpos[2]\", minus = 1, power = 2, exp = -4 }", |[_, q]| (-4.0 * (q[2] - 1.0).powf(2.0)).exp()),
        ("{ of = \"qvel[2]\", weight = 10, limit = 4.5 }", |[_, q]| (10.0 * q[12]).clamp(-4.5, 4.5)),
    ];
    for (term, hand) in cases {
        for (i, (both, reward)) in of(term).iter().enumerate() {
            let expected = hand(both);
            assert!((expected - reward).abs() <= 1e-15 * expected.abs(), "{term}, step {i}: {expected} {reward}");
        }
    }
    assert!(of("{ of = \"qvel[2]\", clip = 0.3 }").iter().any(|(_, reward)| *reward == -0.3), "it falls that fast");
}

/// A condition is 1 or 0; a reward may count it, and a task end by it.
#[test]
fn ranges_end_a_task_and_are_counted() {
    let falls_through = |range: &str| {
        let task = format!(
            "observe = [\"qpos[2]\"]\nreward = [{{ of = \"alive\", weight = 5 }}, {{ of = \"qpos[2]\", {range} }}]\n\
             terminate = [{{ of = \"qpos[2]\", {range} }}, {{ of = \"qpos\", outside = [-inf, inf], strict = true }}]\n"
        );
        let mut env = make(&task);
        assert_eq!(env.spec().healthy_bonus, 5.0);
        let mut obs = [0.0];
        env.reset(0, &mut obs).unwrap();
        (0..20).map(|_| (env.step(&[0.0, 0.0], &mut obs).unwrap(), obs[0])).collect::<Vec<_>>()
    };
    let seen = falls_through("outside = [0.9, 2.0]");
    assert!(seen.iter().any(|(step, _)| step.terminated) && seen.iter().any(|(step, _)| !step.terminated));
    for (step, z) in &seen {
        assert_eq!((step.terminated, step.reward), (*z < 0.9, if *z < 0.9 { 1.0 } else { 5.0 }), "{z}");
    }
    for (step, z) in &falls_through("inside = [-inf, 0.9]") {
        assert_eq!(step.terminated, *z <= 0.9, "{z}");
    }
    // The bounds themselves: the start stands exactly at 1.
    let at = |end: &str| {
        let task = format!("observe = [\"qpos[2]\"]\nreward = [{{ of = \"site:nose[2]\", {end} }}]\n");
        let mut env = make(&task);
        env.reset(0, &mut [0.0]).unwrap();
        // Of the simulator step's beginning: the start.
        env.step(&[0.0, 0.0], &mut [0.0]).unwrap().reward
    };
    assert_eq!(at("inside = [1, 2]"), 1.0);
    assert_eq!(at("inside = [1, 2], strict = true"), 0.0);
    assert_eq!(at("outside = [1, 2]"), 0.0);
    assert_eq!(at("outside = [1, 2], strict = true"), 1.0);
}

/// (a + b) + (c + d) is another number than ((a + b) + c) + d.
#[test]
fn groups_are_added_up_first() {
    let reward = |groups: [&str; 4]| {
        let terms: Vec<String> = ["0.1", "0.2", "0.3", "0.7"]
            .iter()
            .zip(groups)
            .map(|(weight, group)| format!("{{ of = \"one\", weight = {weight}, group = \"{group}\" }}"))
            .collect();
        let mut env = make(&format!("observe = [\"qpos\"]\nreward = [{}]\n", terms.join(", ")));
        play(&mut env, 0, 1).1[0]
    };
    assert_eq!(reward(["", "", "", ""]), ((0.1 + 0.2) + 0.3) + 0.7);
    assert_eq!(reward(["", "", "b", "b"]), (0.1 + 0.2) + (0.3 + 0.7));
    assert_eq!(reward(["a", "b", "a", "b"]), (0.1 + 0.3) + (0.2 + 0.7));
    assert_ne!(reward(["", "", "", ""]), reward(["a", "b", "a", "b"]), "the order must matter here");
}

/// What an action costs is numpy's binary32; what the simulator was told, binary64.
#[test]
fn an_action_costs_in_binary32() {
    let cost = |of: &str| {
        let term = format!("{{ of = \"{of}\", take = \"squares\", weight = -0.1 }}");
        let mut env = make(&format!("observe = [\"qpos\"]\nreward = [{term}]\n"));
        let mut obs = vec![0.0; env.spec().obs];
        env.reset(0, &mut obs).unwrap();
        env.step(&[0.3, 1.7], &mut obs).unwrap().reward
    };
    let (a, b) = (0.3_f32, 1.7_f32);
    assert_eq!(cost("action"), f64::from(-0.1_f32 * (a * a + b * b)));
    assert_eq!(cost("ctrl"), -0.1 * (f64::from(a) * f64::from(a) + f64::from(b) * f64::from(b)));
    assert_ne!(cost("action"), cost("ctrl"));
}

#[test]
fn an_episode_starts_as_it_is_told() {
    let starts = |task: &str, seeds: std::ops::Range<u64>| -> Vec<Vec<f64>> {
        let mut env = make(&format!("observe = [\"qpos\", \"qvel\"]\nreward = [\"one\"]\n{task}"));
        seeds.map(|seed| play(&mut env, seed, 0).0.remove(0)).collect()
    };
    let own = &starts("", 0..1)[0];
    assert_eq!(own[..10], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0]);
    let key = &starts("keyframe = \"crouched\"\n", 0..1)[0];
    assert_eq!((key[2], key[7], key[8], key[17]), (0.5, 0.7, 0.3, 0.2));
    for start in
        starts("reset = [{ of = \"joint:knee\", uniform = [0.2, 0.4] }, { of = \"qvel[6:]\", normal = 0.1 }]\n", 0..50)
    {
        assert!((0.2..0.4).contains(&start[7]) && start[16..19].iter().all(|v| v.abs() < 0.6 && *v != 0.0), "{start:?}");
        assert_eq!((&start[..7], &start[10..16]), (&own[..7], &own[10..16]));
    }
    let boxed = "reset = [{ of = \"qpos[8:]\", box = [[-1, 1], [0, 2]], farther_than = 0.5, nearer_than = 1 }]\n";
    let mut places = Vec::new();
    for start in starts(boxed, 0..200) {
        let distance = start[8].hypot(start[9]);
        assert!(0.5 < distance && distance < 1.0 && start[9] >= 0.0, "{distance}");
        places.push(start[8]);
    }
    assert!(places.iter().any(|x| *x < -0.5) && places.iter().any(|x| *x > 0.5));
    let set = &starts("reset = [{ of = \"qpos[8:]\", set = [3, 4] }, { of = \"qvel[:2]\", set = -1 }]\n", 0..1)[0];
    assert_eq!((&set[8..12], &set[12..]), (&[3.0, 4.0, -1.0, -1.0][..], &own[12..]));
}

/// As far as an observation tells it: scaled numbers, sines and cosines, the place of what slides; not where the crawler is on the ground.
#[test]
fn a_state_is_read_back_where_it_is_told() {
    let task = "observe = [\n\
        { of = \"qpos[2:7]\", scale = 2 }, { of = \"qpos[7]\", map = \"sin\" }, { of = \"qpos[7]\", map = \"cos\" },\n\
        { of = \"body:cart\" }, { of = \"qvel\", divide = 4 }]\nreward = [\"one\"]\n";
    let mut env = make(task);
    assert!(env.tells_pose() && env.unobserved() == 2);
    let mut obs = vec![0.0; env.spec().obs];
    env.reset(0, &mut obs).unwrap();
    let mut truth = env.pose().unwrap();
    (truth.positions[2], truth.positions[7], truth.positions[8], truth.positions[9]) = (1.25, -2.5, 0.75, -0.125);
    truth.velocities.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64);
    let AnyEnv::Mujoco(env) = &mut env else { panic!("a MuJoCo task") };
    env.observe_at(&truth, &mut obs);
    let mut found = Pose { positions: vec![0.0; 10], velocities: vec![0.0; 9] };
    env.read_pose(&obs, &mut found);
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&truth.positions, &found.positions) && close(&truth.velocities, &found.velocities), "{found:?}");
    for blind in
        ["\"qpos[4:]\", \"qvel\"", "\"qpos[2:]\"", "{ of = \"qpos\", map = \"sin\" }, \"qvel\"", "\"qpos[:9]\", \"qvel\""]
    {
        let env = make(&format!("observe = [{blind}]\nreward = [\"one\"]\n"));
        assert!(!env.tells_pose() && env.unobserved() == 0, "{blind}");
    }
}

#[test]
fn a_camera_that_is_not_described_follows_what_moves() {
    let view = |task: &str| {
        let AnyEnv::Mujoco(env) = make(&format!("{PLAIN}{task}")) else { panic!("a MuJoCo task") };
        env.view()
    };
    let own = view("");
    assert!(own.body == 1 && own.distance_m > 0.5 && own.azimuth_deg == 90.0, "{own:?}");
    let told =
        view("camera = { body = \"cart\", look_at = [1, 2, 3], distance_m = 4, azimuth_deg = 5, elevation_deg = 6 }\n");
    assert_eq!(
        told,
        super::View { body: 3, look_at: [1.0, 2.0, 3.0], distance_m: 4.0, azimuth_deg: 5.0, elevation_deg: 6.0 }
    );
    assert_eq!(view("camera = { body = \"world\" }\n").body, 0);
}

/// Surrogate physics and the assistive force ask nothing of a task but its model.
#[test]
fn a_users_model_takes_what_the_built_in_ones_take() {
    let mut env = made(PLAIN, Physics::Heun).unwrap();
    let (seen, _) = play(&mut env, 0, 10);
    let (own, _) = play(&mut make(PLAIN), 0, 10);
    let far = seen[10].iter().zip(&own[10]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far > 0.0 && far < 0.2, "{far}");
    // Once it has sunk.
    let fallen = play(&mut env, 0, 25).0;
    env.assist(0.5).unwrap();
    let held = play(&mut env, 0, 25).0;
    assert!(held[25][2] > fallen[25][2] + 0.01, "the body of the first joint: {} {}", held[25][2], fallen[25][2]);
}

#[test]
fn every_slip_is_answered_in_one_line_that_names_it() {
    let with = |list: &str, element: &str| match list {
        "observe" => format!("observe = [\"qpos\", {element}]\nreward = [\"one\"]\n"),
        "reward" => format!("observe = [\"qpos\"]\nreward = [\"one\", {element}]\n"),
        _ => format!(
            "{PLAIN}{list} = [{{ of = \"qpos\", {} }}, {element}]\n",
            match list {
                "reset" => "set = 0",
                _ => "inside = [9, 9]",
            }
        ),
    };
    let cases = [
        ("observe", "\"qpso\"", "env.task.observe[1] (`qpso`): of = \"qpso\": `qpso`: unknown; known: qpos, qvel"),
        (
            "observe",
            "\"qpos[10]\"",
            "env.task.observe[1] (`qpos[10]`): of = \"qpos[10]\": qpos[10]: out of range: qpos has 10 numbers",
        ),
        ("observe", "\"qpos[3:11]\"", "out of range: qpos has 10 numbers"),
        ("observe", "\"qpos[-11]\"", "out of range: qpos has 10 numbers"),
        ("observe", "\"qpos[3:3]\"", "expected at least one number"),
        ("observe", "\"qpos[]\"", "expected a slice"),
        ("observe", "\"qpos[two]\"", "expected a slice as in [2]"),
        ("observe", "\"act\"", "act has no numbers in kit.xml"),
        ("observe", "\"sensor:gyro\"", "kit.xml has no sensor `gyro`; it has imu, bend, turn"),
        ("observe", "\"site:tail\"", "kit.xml has no site `tail`; it has nose, foot"),
        ("observe", "\"body:tail[0]\"", "kit.xml has no body `tail`; it has world, crawler, leg, cart"),
        ("observe", "\"joint:hip\"", "kit.xml has no joint `hip`; it has root, knee, x, z"),
        ("observe", "\"geom:roof\"", "kit.xml has no geom `roof`; it has hull"),
        ("observe", "\"site\"", "whose? expected site:NAME"),
        ("observe", "\"qpos:knee\"", "qpos takes no name, found `knee`"),
        ("observe", "\"camera:one\"", "`camera`: unknown; known: "),
        ("observe", "\"alive\"", "a reward's alone"),
        ("observe", "{ name = \"x\" }", "env.task.observe[1] (`x`): of: expected the name of a quantity"),
        ("observe", "{ of = \"qvel\", weight = 2 }", "env.task.observe[1] (`qvel`): weight: has no use here"),
        ("observe", "{ of = \"qvel\", clip = [1, 0] }", "clip = [1, 0]: expected the least first"),
        ("observe", "{ of = \"qvel\", clip = -1 }", "clip = [1, -1]: expected the least first"),
        ("observe", "{ of = \"qvel\", divide = 0 }", "divide = 0"),
        ("observe", "{ of = \"qvel\", scale = nan }", "scale = NaN: expected a finite number"),
        (
            "observe",
            "{ of = \"qvel\", minus = \"qpos\" }",
            "minus: expected as many numbers as of = \"qvel\" has, 9, found 10",
        ),
        ("observe", "{ of = \"qvel\", minus = [1, 2] }", "9, found 2"),
        ("observe", "{ of = \"qvel\", colour = 1 }", "[1] (`qvel`): unknown field `colour`"),
        ("observe", "{ of = \"qvel\", map = \"log\" }", "unknown variant `log`"),
        ("observe", "{ of = \"qvel\", clip = [1, 2, 3] }", "expected a number or [low, high], found 3 numbers"),
        ("observe", "{ of = \"qvel\", clip = \"x\" }", "expected a number or a list of numbers"),
        ("observe", "3", "[1]: expected a string or a table, found integer"),
        ("reward", "\"qvel\"", "env.task.reward[1] (`qvel`): of = \"qvel\": 9 numbers: expected one; choose with [i]"),
        ("reward", "{ of = \"qvel\", take = \"all\" }", "unknown variant `all`"),
        ("reward", "{ of = \"qvel\", rate = true }", "9 numbers: expected one, or `take`, beside rate"),
        ("reward", "{ of = \"qvel[0]\", weight = inf }", "weight = inf: expected a finite number"),
        ("reward", "{ of = \"qvel[0]\", limit = -1 }", "limit = -1: expected at least 0"),
        ("reward", "{ of = \"qvel[0]\", strict = true }", "strict: expected inside or outside"),
        (
            "reward",
            "{ of = \"qvel[0]\", inside = [0, 1], outside = [0, 1] }",
            "expected one of inside and outside, found both",
        ),
        ("reward", "{ of = \"qvel[0]\", inside = [1, 0] }", "inside = [1, 0]: expected the least first"),
        ("reward", "{ of = \"alive\", rate = true }", "expected nothing beside it but name, weight, limit and group"),
        ("terminate", "\"qpos[2]\"", "env.task.terminate[1] (`qpos[2]`): expected inside or outside, found neither"),
        ("terminate", "{ of = \"qpos[2]\", outside = [0, 1], weight = 2 }", "weight: has no use here"),
        ("reset", "\"qpos\"", "env.task.reset[1] (`qpos`): expected one of uniform, normal, set and box, found 0"),
        ("reset", "{ of = \"qpos\", uniform = 1, set = 2 }", "found 2"),
        ("reset", "{ of = \"site:nose\", uniform = 1 }", "of = \"site:nose\": expected qpos, qvel, joint:NAME"),
        ("reset", "{ of = \"qpos\", set = [1, 2] }", "set: expected one number or 10, found 2"),
        ("reset", "{ of = \"qpos\", normal = -1 }", "normal = -1: expected at least 0"),
        ("reset", "{ of = \"qpos\", uniform = inf }", "uniform = -inf: expected a finite number"),
        ("reset", "{ of = \"qpos\", uniform = 1, nearer_than = 1 }", "expected a box beside them"),
        ("reset", "{ of = \"qpos[:2]\", box = [[0, 1]] }", "box: expected a range for each of 2 numbers, found 1"),
        ("reset", "{ of = \"qpos[0]\", box = [[2, 3]], nearer_than = 1 }", "found it 2 to 3 from the origin"),
        ("reset", "{ of = \"qpos[0]\", box = [[0, 1]], farther_than = 1 }", "farther than 1"),
    ];
    for (list, element, part) in cases {
        let error = made(&with(list, element), Physics::Task).err().unwrap_or_else(|| panic!("{element} was taken"));
        assert!(error.contains(part) && error.contains(&format!("env.task.{list}")), "{element}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for (task, part) in [
        ("reward = [\"one\"]\n", "env.task.observe: expected at least one block"),
        ("observe = [\"qpos\"]\n", "env.task.reward: expected at least one term"),
        ("keyframe = \"up\"\n", "env.task.keyframe: kit.xml has no keyframe `up`; it has crouched"),
        ("distance = \"qpos\"\n", "env.task.distance = \"qpos\": expected one number, found 10"),
        ("distance = \"site:tail[0]\"\n", "env.task.distance"),
        ("camera = { body = \"tail\" }\n", "env.task.camera.body: kit.xml has no body `tail`"),
        ("camera = { look_at = [1] }\n", "env.task.camera.look_at: expected [x, y, z]"),
        ("frame_skip = 0\n", "env.task.frame_skip = 0: must be"),
        ("expect = { actions = 3 }\n", "Kit: expected the model of env.task.expect, found another in kit.xml"),
        ("expect = { action_range = [-1, 1] }\n", "expected the model of env.task.expect"),
        ("colour = 1\n", "unknown key `env.task.colour`; known here: camera, "),
    ] {
        let task = if task.starts_with("reward") || task.starts_with("observe") {
            task.to_owned()
        } else {
            format!("{PLAIN}{task}")
        };
        let error = made(&task, Physics::Task).err().unwrap_or_else(|| panic!("{task} was taken"));
        assert!(error.contains(part) && !error.contains('\n'), "{task}: {error}");
    }
}

/// What is wrong with the model, or with what stands beside it.
#[test]
fn a_model_that_does_not_fit_is_answered_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = |model: &str, env: &str| {
        std::fs::write(folder.path().join("m.xml"), model).unwrap();
        let path = folder.path().join("m.toml");
        std::fs::write(&path, format!("[env]\n{env}\n[env.task]\n{PLAIN}")).unwrap();
        let made = Config::default().overlay_file(&path, &[]).and_then(|config| {
            AnyEnv::with(&config.env, if env.contains("# heun") { Physics::Heun } else { Physics::Task })
        });
        format!("{:#}", made.err().unwrap_or_else(|| panic!("{env} was taken")))
    };
    let body = "<worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>";
    let model = |actuator: &str| format!("<mujoco>{body}<actuator>{actuator}</actuator></mujoco>");
    let limited = "joint='j' ctrlrange='-1 1' ctrllimited='true'";
    let (fits, own) = (model(&format!("<motor {limited}/>")), "id = 'M'\nmjcf = 'm.xml'");
    for (model, env, part) in [
        (fits.clone(), "id = 'M'\nmjcf = 'no.xml'".to_owned(), "env.mjcf = \"no.xml\": no such file beside"),
        ("<mujoco>".to_owned(), own.to_owned(), "M: "),
        (format!("<mujoco>{body}</mujoco>"), own.to_owned(), "m.xml: expected at least one actuator, found none"),
        (
            model("<motor name='m' joint='j'/>"),
            own.to_owned(),
            "m.xml: actuator `m` has no ctrlrange: give it one, or set env.action_range",
        ),
        (fits.clone(), format!("{own}\naction_range = [-1, 1]"), "env.action_range: m.xml has its own for every actuator"),
        (
            fits.clone(),
            "id = 'Hopper-v5'\nmjcf = 'm.xml'".to_owned(),
            "env.id = \"Hopper-v5\": means another; give the task of env.mjcf a name",
        ),
        (fits.clone(), "id = 'Hopper-v5'".to_owned(), "env.task: expected a model file, env.mjcf, beside it"),
        (fits.clone(), format!("{own}\nkwargs = {{ a = 1 }}"), "env.kwargs: M takes none, found"),
        (fits.clone(), format!("{own}\nperiod_s = 1"), "env.period_s = 1: M has its own"),
        (
            model(&format!("<general name='m' {limited} dyntype='integrator'/>")),
            format!("{own} # heun"),
            "M: physics = heun: expected actuators without activations, found 1",
        ),
    ] {
        // Models are compiled once for each text of [env].
        let name = format!("M{}", part.len());
        let found = error(&model, &env.replace("'M'", &format!("'{name}'")));
        assert!(
            found.contains(
                &part
                    .replace("M: ", &format!("{name}: "))
                    .replace("M has", &format!("{name} has"))
                    .replace("M takes", &format!("{name} takes"))
            ),
            "{found}"
        );
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn an_actuator_without_a_range_takes_the_one_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut env = config(folder.path(), PLAIN).unwrap();
    std::fs::write(folder.path().join("kit.xml"), MODEL.replace(" ctrlrange=\"-1 1\" ctrllimited=\"true\"", "")).unwrap();
    env.action_range = vec![-3.0, 5.0];
    env.time_limit = 7;
    let mut env = AnyEnv::make(&env).unwrap();
    assert_eq!((env.spec().actions.range(0), env.spec().actions.range(1)), ((-3.0, 5.0), (-2.0, 2.0)));
    let mut obs = vec![0.0; env.spec().obs];
    env.reset(0, &mut obs).unwrap();
    let cut: Vec<bool> = (0..8).map(|_| env.step(&[0.0; 2], &mut obs).unwrap().truncated).collect();
    assert_eq!(cut, [false, false, false, false, false, false, true, true]);
}

/// `label` stands for what is in the model, wherever it lies.
#[test]
fn a_model_is_known_by_what_is_in_it() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there, other] = [0, 1, 2].map(|i| config(folders[i].path(), PLAIN).unwrap());
    std::fs::write(folders[2].path().join("kit.xml"), MODEL.replace("gear=\"2\"", "gear=\"3\"")).unwrap();
    let label = |env: &EnvConfig| super::super::label(env).unwrap();
    assert!(here.mjcf != there.mjcf && label(&here) == label(&there) && label(&here).starts_with("Kit (settings "));
    assert_ne!(label(&here), label(&other));
    assert_eq!(super::super::label(&EnvConfig::from("Hopper-v5")).unwrap(), "Hopper-v5");
}
