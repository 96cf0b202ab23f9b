//! `CarRacing-v3` is Gymnasium's, bit for bit: tracks, colours, where every body is, rewards and ends. The reference runs live, in
//! `car_racing_reference.py`, once for all tests; pictures come through the bridge.
//!
//! Contract: Gymnasium 1.4.0 with Box2D 2.3.10 on x86-64 with glibc. Sines and cosines of bodies are ours, which differ from glibc's on machines
//! with FMA for 17 of 10⁹ floats: a difference there is known by all that follows it.

mod common;

use common::python;
use dreamstep::env::car_racing::{CarRacing, scene::Scene};
use dreamstep::env::{AnyEnv, Env, EnvConfig, EnvSpec, Step};
use dreamstep::run::config::Observation;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// What the reference is asked to play.
struct Job {
    /// How is driven.
    driver: &'static str,
    seeds: RangeInclusive<u64>,
    steps: usize,
    /// As TOML; the same text is JSON where it is `{}`.
    kwargs: &'static [(&'static str, f64)],
    /// Whether all seeds are played in one world of Box2D's, as Gymnasium plays them.
    is_one_world: bool,
}

const fn job(driver: &'static str, seeds: RangeInclusive<u64>, steps: usize) -> Job {
    Job { driver, seeds, steps, kwargs: &[], is_one_world: true }
}

/// Every way of driving, by the test's name.
const JOBS: [(&str, Job); 13] = [
    ("starts", job("random", 1000..=1059, 1)),
    ("random", job("random", 0..=5, 250)),
    ("beyond", job("beyond", 20..=22, 300)),
    ("well", job("well", 100..=103, 1010)),
    ("off", job("off", 7..=8, 500)),
    ("spinning", job("spinning", 30..=31, 400)),
    ("locked", job("locked", 40..=42, 400)),
    ("sleeping", job("sleeping", 50..=51, 500)),
    ("choices", Job { kwargs: &[("continuous", 0.0)], ..job("choices", 60..=62, 300) }),
    ("colours", Job { kwargs: &[("domain_randomize", 1.0)], ..job("well", 70..=74, 150) }),
    ("none", Job { kwargs: &[("lap_complete_percent", 0.001)], ..job("well", 80..=83, 5) }),
    ("few", Job { kwargs: &[("lap_complete_percent", 0.005)], is_one_world: false, ..job("well", 80..=87, 5) }),
    ("some", Job { kwargs: &[("lap_complete_percent", 0.1)], ..job("well", 90..=91, 300) }),
];

impl Job {
    /// `kwargs` as both languages write them.
    fn arguments(&self) -> Vec<(String, String)> {
        let text = |&(name, value): &(&str, f64)| {
            let value = if name == "lap_complete_percent" { value.to_string() } else { (value != 0.0).to_string() };
            (name.to_owned(), value)
        };
        self.kwargs.iter().map(text).collect()
    }

    fn args(&self) -> [String; 5] {
        let json: Vec<String> = self.arguments().iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let seeds = format!("{}-{}", self.seeds.start(), self.seeds.end());
        let worlds = if self.is_one_world { "one" } else { "new" };
        [self.driver.into(), seeds, self.steps.to_string(), format!("{{{}}}", json.join(", ")), worlds.into()]
    }

    fn env(&self) -> Box<CarRacing> {
        let toml: Vec<String> = self.arguments().iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let kwargs = toml.join("\n").parse().unwrap();
        let config = EnvConfig { kwargs, observation: Observation::State, ..EnvConfig::from("CarRacing-v3") };
        let AnyEnv::CarRacing(env) = AnyEnv::make(&config).unwrap() else { panic!("CarRacing-v3 is native") };
        env
    }
}

/// The answers to all jobs, from one process.
static REFERENCE: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let mut args = vec![python::script("car_racing_reference.py").display().to_string()];
    args.extend(JOBS.iter().flat_map(|(_, job)| job.args()));
    let output = python::run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut records = Records(&output);
    let answers = JOBS.iter().map(|(name, _)| {
        let length = records.u64() as usize;
        (*name, records.bytes(length).to_vec())
    });
    answers.collect()
});

/// Reads the reference's records.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at_checked(n).expect("the reference's output ends early");
        self.0 = rest;
        head
    }
    fn flag(&mut self) -> bool {
        self.bytes(1)[0] == 1
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().unwrap())
    }
    fn f64(&mut self) -> f64 {
        f64::from_bits(self.u64())
    }
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        self.bytes(4 * n).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// What was met, so that a test can prove that it met what it is about.
#[derive(Debug, Default)]
struct Seen {
    steps: usize,
    /// Episodes that ended with the last tile, by leaving the field, and at the time limit.
    laps: usize,
    off: usize,
    truncated: usize,
    after_the_end: usize,
    /// Steps in which every body stood as still as it had stood before.
    still: usize,
    /// Colours of fields.
    backgrounds: Vec<[u8; 3]>,
    /// Polygons of the plain road's colour, at most: every third tile, and those that were touched.
    repainted: usize,
    most_angle: f32,
    best: f64,
}

/// Follows the reference step by step.
fn compare(name: &str) -> Seen {
    let (_, job) = JOBS.iter().find(|(known, _)| *known == name).unwrap();
    let mut env = job.env();
    let mut records = Records(&REFERENCE[name]);
    let mut obs = vec![f64::NAN; env.spec().obs];
    let mut seen = Seen::default();
    let (mut seed, mut t, mut over, mut total) = (0, 0, false, 0.0);
    loop {
        match records.bytes(1)[0] {
            b'R' => {
                (seed, t, over, total) = (records.u64(), 0, false, 0.0);
                env.reset(seed, &mut obs).unwrap();
                let scene = env.scene();
                let polygons = records.u64() as usize;
                assert_eq!(polygons, scene.road.len(), "seed {seed}: polygons of the road");
                for (i, x) in scene.road.iter().flat_map(|polygon| polygon.vertices).flatten().enumerate() {
                    let expected = records.f64();
                    assert_eq!(expected.to_bits(), x.to_bits(), "seed {seed}: road, number {i}: {expected} {x}");
                }
                assert_eq!(records.bytes(6), [scene.background, scene.grass].concat(), "seed {seed}: colours");
                seen.backgrounds.push(scene.background);
            }
            b'S' => {
                let action = records.f32s(env.spec().action());
                let before = places(&env.scene());
                let Step { reward, terminated, truncated } = env.step(&action, &mut obs).unwrap();
                (t, total) = (t + 1, total + reward);
                let expected = (records.f64().to_bits(), records.flag(), records.flag());
                assert_eq!(expected, (reward.to_bits(), terminated, truncated), "seed {seed}, step {t}: {reward}");
                seen.steps += 1;
                seen.after_the_end += usize::from(over);
                seen.still += usize::from(before == places(&env.scene()));
                if !over {
                    seen.laps += usize::from(terminated && reward != -100.0);
                    seen.off += usize::from(terminated && reward == -100.0);
                    seen.truncated += usize::from(truncated);
                    seen.best = seen.best.max(total);
                }
                over |= terminated || truncated;
                seen.most_angle = seen.most_angle.max(env.scene().hull.angle.abs());
            }
            b'E' => break,
            tag => panic!("unknown record {tag}"),
        }
        let repainted =
            compare_scene(&format!("seed {seed}, step {t}"), &mut records, &env.scene(), part(env.spec(), &obs, "grip"));
        seen.repainted = seen.repainted.max(repainted);
    }
    assert!(records.0.is_empty(), "{} bytes left over", records.0.len());
    assert_eq!(seen.steps, job.steps * job.seeds.clone().count(), "{name}: {seen:?}");
    seen
}

/// Where the hull and the wheels are.
fn places(scene: &Scene<'_>) -> Vec<f32> {
    let wheels = scene.wheels.iter().flat_map(|wheel| [wheel.pose.position[0], wheel.pose.position[1], wheel.pose.sin]);
    [scene.hull.pose.position[0], scene.hull.pose.position[1], scene.hull.angle].into_iter().chain(wheels).collect()
}

/// The part of an observation that is called `name`.
fn part<'a>(spec: &EnvSpec, obs: &'a [f64], name: &str) -> &'a [f64] {
    let at = spec.blocks.iter().position(|(known, _)| known == name).unwrap();
    let from = spec.blocks[..at].iter().map(|(_, len)| len).sum::<usize>();
    &obs[from..from + spec.blocks[at].1]
}

/// `grip`: whether each wheel is on the road. How many polygons have the first one's colour.
fn compare_scene(place: &str, records: &mut Records<'_>, scene: &Scene<'_>, grip: &[f64]) -> usize {
    let hull = &scene.hull;
    let [x, y] = hull.pose.position;
    let [vx, vy] = hull.velocity;
    let mut numbers: Vec<f64> =
        [x, y, hull.angle, hull.pose.sin, hull.pose.cos, vx, vy, hull.angular_velocity].map(f64::from).to_vec();
    for (wheel, &grip) in scene.wheels.iter().zip(grip) {
        let [x, y] = wheel.pose.position;
        numbers.extend([x, y, wheel.pose.sin, wheel.pose.cos].map(f64::from));
        numbers.extend([wheel.omega, wheel.phase, f64::from(wheel.joint_angle), grip]);
    }
    numbers.extend([scene.t, scene.reward]);
    for (i, found) in numbers.into_iter().enumerate() {
        let expected = records.f64();
        // A zero's sign is lost in Python, where a locked wheel's rotation is the integer 0.
        let is_same = expected.to_bits() == found.to_bits() || expected == 0.0 && found == 0.0;
        assert!(is_same, "{place}: [{i}] expected {expected:e}, found {found:e}");
    }
    let count = records.u64() as usize;
    let expected = records.bytes(3 * count).as_chunks::<3>().0;
    let found: Vec<[u8; 3]> = scene.road.iter().map(|polygon| polygon.colour).collect();
    assert_eq!(expected, found, "{place}: colours of the road");
    found.iter().filter(|colour| **colour == found[0]).count()
}

#[test]
fn many_tracks_in_one_world() {
    let seen = compare("starts");
    assert_eq!((seen.steps, seen.backgrounds.len()), (60, 60));
}

#[test]
fn driven_at_random() {
    compare("random");
}

#[test]
fn actions_beyond_the_range() {
    compare("beyond");
}

/// A lap ends the episode, or the time limit does; stepping on changes neither.
#[test]
fn driven_well() {
    let seen = compare("well");
    assert!(seen.laps >= 2 && seen.best > 850.0 && seen.after_the_end > 100 && seen.truncated == 0, "{seen:?}");
    assert!(seen.repainted > 200, "{seen:?}");
}

#[test]
fn driven_off_the_field() {
    let seen = compare("off");
    assert!(seen.off == 2 && seen.after_the_end > 100, "{seen:?}");
}

#[test]
fn driven_in_circles() {
    let seen = compare("spinning");
    assert!(seen.most_angle > 4.0 * std::f32::consts::PI, "{seen:?}");
}

#[test]
fn locked_wheels() {
    compare("locked");
}

/// What stands for half a second sleeps, and moves again when it is driven.
#[test]
fn a_sleeping_car_wakes() {
    let seen = compare("sleeping");
    assert!(seen.still > 100, "{seen:?}");
}

#[test]
fn one_of_five_choices() {
    compare("choices");
}

#[test]
fn colours_are_drawn_before_the_track() {
    let mut seen = compare("colours").backgrounds;
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// The percentage is asked for when tile 0 is first touched, in the first step: below 1/n it ends every lap there, from 2/n on none; between, it
/// depends on which of the first two tiles was found first.
#[test]
fn the_percentage_of_a_lap_counts_at_the_start_alone() {
    assert_eq!(compare("none").laps, 4);
    assert_eq!(compare("few").laps, 8);
    assert_eq!(compare("some").laps, 0);
}

/// What an agent sees, through the bridge and without it: every pixel of the picture as it is, with its zoom, its bar and the score, in usual colours and
/// drawn ones, on the road and over the edge of the field; the road as `[env.image]` prepares it; rewards and ends.
#[test]
fn the_native_environment_is_the_bridged_one() {
    let plain = "";
    let road = "image = { crop = [0, 0, 84, 96], size = [64, 64] }";
    let coloured = "kwargs = { domain_randomize = true }";
    let choices = "kwargs = { continuous = false }";
    // Keys, seed, steps, and whether it is driven off the field.
    for (keys, seed, steps, is_off) in [
        (plain, 3, 260, false),
        (plain, 7, 420, true),
        (coloured, 1 << 40, 120, false),
        (road, 4, 120, false),
        (choices, 5, 60, false),
    ] {
        let of = |id: &str, keys: &str| -> EnvConfig { toml::from_str(&format!("id = \"{id}\"\n{keys}")).unwrap() };
        let python = python::script("python/interpreter.sh").display().to_string();
        let bridged = EnvConfig { python, ..of("gym:CarRacing-v3", keys) };
        let mut envs = [bridged, of("CarRacing-v3", keys)].map(|config| AnyEnv::make(&config).unwrap());
        let [bridged, native] = envs.each_ref().map(|env| EnvSpec { id: String::new(), ..env.spec().clone() });
        assert_eq!(bridged, native);
        // A third drives, by what it knows.
        let image = "observation = \"state\"";
        let AnyEnv::CarRacing(mut driver) = AnyEnv::make(&of("CarRacing-v3", image)).unwrap() else {
            panic!("it is native")
        };
        let mut state = vec![0.0; driver.spec().obs];
        let mut seen = [vec![0.0; native.obs], vec![0.0; native.obs]];
        envs.iter_mut().zip(&mut seen).for_each(|(env, obs)| env.reset(seed, obs).unwrap());
        driver.reset(seed, &mut state).unwrap();
        let (mut total, mut colours) = (0.0, BTreeMap::new());
        for t in 0..=steps {
            let differs = seen[0].iter().zip(&seen[1]).position(|(a, b)| a != b);
            if let Some(i) = differs {
                panic!("{keys}, seed {seed}, step {t}: [{i}] expected {}, found {}", seen[0][i], seen[1][i]);
            }
            colours.insert(seen[0][..3].iter().map(|&x| x as u8).collect::<Vec<_>>(), t);
            let action = match is_off {
                true => outwards(&driver.scene()),
                false => along(part(driver.spec(), &state, "road"), part(driver.spec(), &state, "velocity")[1]),
            };
            let _ = driver.step(&action, &mut state).unwrap();
            let action = if keys == choices { vec![(t / 7 % 5) as f32] } else { action.to_vec() };
            let played: Vec<Step> =
                envs.iter_mut().zip(&mut seen).map(|(env, obs)| env.step(&action, obs).unwrap()).collect();
            assert_eq!(played[0], played[1], "{keys}, seed {seed}, step {t}");
            total += played[0].reward;
        }
        // It was what it was to be: beyond the field all is black.
        assert!(!is_off || total < -100.0 && colours.contains_key(&[0; 3][..]), "{total} {colours:?}");
        assert!(is_off || keys == choices || total > 50.0, "{keys}: {total}");
    }
}

/// Steers along the road, at most at 50 units a second.
fn along(road: &[f64], forward: f64) -> [f32; 3] {
    [(1.2 * road[4].atan2(road[5])) as f32, if forward < 50.0 { 0.5 } else { 0.0 }, 0.0]
}

/// Steers away from the middle of the field.
fn outwards(scene: &Scene<'_>) -> [f32; 3] {
    let [x, y] = scene.hull.pose.position;
    let (sin, cos) = (scene.hull.pose.sin, scene.hull.pose.cos);
    let (right, forward) = (cos * x + sin * y, cos * y - sin * x);
    let [vx, vy] = scene.hull.velocity;
    [right.atan2(forward), if vx.hypot(vy) < 40.0 { 0.3 } else { 0.0 }, 0.0]
}
