//! Are our environments Gymnasium's, bit for bit? The reference runs live, in `gymnasium_reference.py`; every observation,
//! reward, flag and position is compared as bits.
//!
//! Contract: same MuJoCo version, same machine. It holds for finite actions, inside and outside the action range, before and
//! after the end of an episode.

mod python;

use dreamstep::env::{AnyEnv, Env};

/// Reads the reference's records.
struct Records<'a>(&'a [u8]);

impl Records<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the reference's output ends early");
        self.0 = rest;
        *head
    }
    fn tag(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.bytes())
    }
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| f32::from_le_bytes(self.bytes())).collect()
    }
    fn f64s(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.f64()).collect()
    }
}

/// What was compared, so that a test can prove that it met what it is about.
#[derive(Debug, Default)]
struct Seen {
    resets: usize,
    steps: usize,
    terminated: usize,
    truncated: usize,
    after_the_end: usize,
}

/// Follows the reference step by step.
fn compare(id: &str, steps: usize, scale: f64, reset: bool, seeds: &[u64]) -> Seen {
    let mut args = vec![python::script("gymnasium_reference.py").display().to_string()];
    args.extend([id.into(), steps.to_string(), scale.to_string(), u8::from(reset).to_string()]);
    args.extend(seeds.iter().map(u64::to_string));
    let output = python::run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut records = Records(&output);

    let mut env = AnyEnv::make(id).unwrap();
    let spec = env.spec().clone();
    assert_eq!((spec.obs as u64, spec.action as u64), (records.u64(), records.u64()));
    assert_eq!((spec.dt_s.to_bits(), u64::from(spec.time_limit)), (records.f64().to_bits(), records.u64()));
    assert_eq!((&spec.action_low, &spec.action_high), (&records.f32s(spec.action), &records.f32s(spec.action)));

    let mut seen = Seen::default();
    let mut obs = vec![f64::NAN; spec.obs];
    let (mut seed, mut t, mut over) = (0, 0, false);
    loop {
        match records.tag() {
            b'R' => {
                (seed, t, over) = (records.u64(), 0, false);
                env.reset(seed, &mut obs);
                seen.resets += 1;
            }
            b'S' => {
                let action = records.f32s(spec.action);
                let step = env.step(&action, &mut obs);
                t += 1;
                seen.steps += 1;
                seen.after_the_end += usize::from(over);
                let expected = records.f64s(spec.obs);
                assert_bits(&format!("{id}, seed {seed}, step {t}"), &expected, &obs);
                let (reward, terminated, truncated) = (records.f64(), records.tag() == 1, records.tag() == 1);
                assert_eq!(reward.to_bits(), step.reward.to_bits(), "{id}, seed {seed}, step {t}: {reward} {}", step.reward);
                assert_eq!((terminated, truncated), (step.terminated, step.truncated), "{id}, seed {seed}, step {t}");
                assert_eq!(records.f64().to_bits(), env.position_x().to_bits(), "{id}, seed {seed}, step {t}: x");
                seen.terminated += usize::from(terminated);
                seen.truncated += usize::from(truncated);
                over |= terminated || truncated;
                continue;
            }
            b'E' => break,
            tag => panic!("unknown record {tag}"),
        }
        assert_bits(&format!("{id}, seed {seed}, reset"), &records.f64s(spec.obs), &obs);
    }
    assert!(records.0.is_empty(), "{} bytes left over", records.0.len());
    seen
}

fn assert_bits(place: &str, expected: &[f64], found: &[f64]) {
    let differs = |(e, f): (&f64, &f64)| e.to_bits() != f.to_bits();
    if let Some(i) = expected.iter().zip(found).position(differs) {
        panic!("{place}: observation[{i}] expected {:e}, found {:e}", expected[i], found[i]);
    }
}

#[test]
fn episodes_of_random_actions() {
    let seen = compare("Humanoid-v5", 200, 1.0, true, &[0, 1, 12_345, (1 << 40) + 17, u64::MAX - 100]);
    assert_eq!(seen.steps, 1000, "{seen:?}");
    assert!(seen.resets > 20 && seen.terminated >= seen.resets - 5, "{seen:?}");
}

/// The simulator clamps what it is asked for, the control cost does not.
#[test]
fn actions_beyond_the_range() {
    let seen = compare("Humanoid-v5", 200, 5.0, true, &[2, 3]);
    assert_eq!(seen.steps, 400, "{seen:?}");
}

/// Past the fall, on to the time limit and over it. Gymnasium's limit does not ask whether the humanoid stands.
#[test]
fn stepping_past_the_end_and_the_time_limit() {
    let seen = compare("Humanoid-v5", 1010, 1.0, false, &[4, 5]);
    assert_eq!((seen.steps, seen.truncated), (2020, 22), "steps 1000 to 1010 of each episode are truncated: {seen:?}");
    assert!(seen.after_the_end > 1800, "{seen:?}");
}
