//! The painter against [`naive`](super::naive), in scenes no episode shows as well: crossed quadrilaterals, more colours than it numbers, a
//! car outside the field. That the pictures are Gymnasium's own is shown by the environment's parity tests.

use super::super::scene::{Hull, PLAYFIELD, Pose, RoadPolygon, Scene, Wheel};
use super::score::ScoreTable;
use super::{Painter, SIDE, naive};
use std::f64::consts::FRAC_PI_2;

/// Numbers of Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.below(1 << 40) as f64 / (1u64 << 40) as f64
    }

    fn colour(&mut self, values: u64) -> [u8; 3] {
        [0; 3].map(|_| (self.below(values) * 255 / values) as u8)
    }
}

const BOX: [[f32; 2]; 4] = [[0.28, 0.54], [-0.28, 0.54], [-0.28, -0.54], [0.28, -0.54]];
const BODY: [[f32; 2]; 8] =
    [[1.0, -0.8], [1.0, -0.2], [0.5, 0.4], [-0.5, 0.4], [-1.0, -0.2], [-1.0, -0.8], [-0.4, -1.8], [0.4, -1.8]];
const NOSE: [[f32; 2]; 4] = [[1.2, 2.2], [1.2, 2.6], [-1.2, 2.6], [-1.2, 2.2]];

fn pose(position: [f64; 2], angle: f64) -> Pose {
    Pose { position: position.map(|p| p as f32), sin: angle.sin() as f32, cos: angle.cos() as f32 }
}

/// A road of quadrilaterals about `centre`, of which some lie far away, and some are crossed, flat or of equal corners.
fn road(random: &mut Random, centre: [f64; 2], colours: u64) -> Vec<RoadPolygon> {
    let quad = |_| {
        let spread = random.within(1.0, 60.0);
        let at = centre.map(|c| c + random.within(-spread, spread));
        let size = random.within(0.1, 14.0);
        let mut vertices = [[0.0; 2]; 4].map(|_: [f64; 2]| at.map(|c| c + random.within(-size, size)));
        match random.below(8) {
            0 => vertices[1] = vertices[2],
            1 => vertices.iter_mut().for_each(|v| v[1] = at[1]),
            2 => vertices.iter_mut().for_each(|v| v[0] = at[0]),
            3 => {
                vertices =
                    [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]].map(|[x, y]| [at[0] + x * size, at[1] + y * 3.0])
            }
            _ => (),
        }
        RoadPolygon { vertices, colour: random.colour(colours) }
    };
    (0..120).map(quad).collect()
}

fn check(seed: u64, painter: &mut Painter, out: &mut [u8]) {
    let random = &mut Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..3 {
        random.below(1);
    }
    let reach = if random.below(3) == 0 { 1.2 * PLAYFIELD } else { 100.0 };
    let centre = [0.0; 2].map(|_| random.within(-reach, reach));
    let angle = match random.below(3) {
        0 => random.below(9) as f64 * FRAC_PI_2 - 4.0 * FRAC_PI_2 + [0.0, 1e-7, -1e-7, 2e-6][random.below(4) as usize],
        _ => random.within(-30.0, 30.0),
    };
    let colours = if random.below(4) == 0 { 8 } else { 2 };
    let road = road(random, centre, colours);
    let wheel = |corner: [f64; 2]| {
        let at = [0, 1].map(|axis| centre[axis] + corner[axis] + random.within(-0.2, 0.2));
        Wheel {
            pose: pose(at, angle + random.within(-0.4, 0.4)),
            omega: random.within(-200.0, 400.0),
            phase: random.within(-50.0, 200.0),
            joint_angle: random.within(-0.5, 0.5) as f32,
            polygon: &BOX,
        }
    };
    let wheels = [[-1.1, 1.6], [1.1, 1.6], [-1.1, -1.64], [1.1, -1.64]].map(wheel);
    let hull = Hull {
        pose: pose(centre, angle),
        angle: angle as f32,
        velocity: [random.within(-90.0, 90.0) as f32, random.within(-90.0, 90.0) as f32],
        angular_velocity: random.within(-9.0, 9.0) as f32,
        polygons: [&NOSE, &BODY, &BOX, &NOSE],
    };
    let t = if random.below(3) == 0 { random.within(0.0, 1.0) } else { 5.0 };
    let (background, grass) = (random.colour(5), random.colour(5));
    let scene = Scene { road: &road, background, grass, hull, wheels, t, reward: 12.0 };
    painter.paint(&scene, out);
    let expected = naive::picture(&scene, None);
    if let Some(at) = out.iter().zip(&expected).position(|(a, b)| a != b) {
        let (row, column) = (at / 3 / SIDE, at / 3 % SIDE);
        panic!("seed {seed}, row {row}, column {column}: painted {}, expected {}; {hull:?}, t {t}", out[at], expected[at]);
    }
}

#[test]
fn every_picture_is_the_naive_one() {
    let (mut painter, mut out) = (Painter::new(None), vec![0; SIDE * SIDE * 3]);
    for seed in 0..60 {
        check(seed, &mut painter, &mut out);
    }
}

#[test]
fn what_is_not_finite_is_painted_somehow() {
    let mut out = vec![0; SIDE * SIDE * 3];
    for odd in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX] {
        let wheel = Wheel {
            pose: pose([f64::from(odd), 0.0], 0.3),
            omega: f64::from(odd),
            phase: f64::from(odd),
            joint_angle: odd,
            polygon: &BOX,
        };
        let road = [RoadPolygon {
            vertices: [[f64::from(odd), 1.0], [2.0, 3.0], [-4.0, f64::from(odd)], [0.0; 2]],
            colour: [9; 3],
        }];
        for position in [[0.0; 2], [f64::from(odd), 3.0]] {
            let hull = Hull {
                pose: pose(position, 0.3),
                angle: if position[0] == 0.0 { 0.3 } else { odd },
                velocity: [odd; 2],
                angular_velocity: odd,
                polygons: [&NOSE, &BODY, &BOX, &NOSE],
            };
            let reward = f64::from(odd);
            let scene = Scene { road: &road, background: [1; 3], grass: [2; 3], hull, wheels: [wheel; 4], t: 1.0, reward };
            Painter::new(None).paint(&scene, &mut out);
        }
    }
}

#[test]
fn scores_are_read_and_placed() {
    let file = std::env::temp_dir().join(format!("dreamstep-scores-{}", std::process::id()));
    let block = |text: usize| std::iter::repeat_n([(text % 251) as u8 + 1, (text / 251) as u8 + 1], 55).flatten().take(55);
    std::fs::write(&file, (0..3000).flat_map(block).collect::<Vec<u8>>()).unwrap();
    let table = ScoreTable::read(&file).unwrap();
    std::fs::write(&file, [0; 7]).unwrap();
    let short = ScoreTable::read(&file).unwrap_err().to_string();
    assert_eq!(short, format!("{}: expected 165000 bytes of scores, found 7; run `make setup`", file.display()));
    std::fs::remove_file(&file).unwrap();
    let missing = ScoreTable::read(&file).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: expected the scores of CarRacing-v3's picture", file.display())), "{missing}");

    let text = |reward: f64| {
        let mut picture = vec![0; SIDE * SIDE * 3];
        table.write(reward, &mut picture);
        let at = (87 * SIDE) * 3;
        let (a, b) = (picture[at] as usize, picture[at + 3] as usize);
        assert_eq!(picture[at..at + 6], [a, a, a, b, b, b].map(|v| v as u8));
        assert_eq!(picture.iter().filter(|&&v| v != 0).count(), if a == 0 { 0 } else { 55 * 3 });
        (a > 0).then(|| (b - 1) * 251 + a - 1)
    };
    for (reward, expected) in
        [(0.0, 1000), (0.5, 1000), (1.5, 1002), (2.5, 1002), (-0.0, 0), (-0.3, 0), (-0.5, 0), (-1.5, 2)]
    {
        assert_eq!(text(reward), Some(expected), "{reward}");
    }
    assert_eq!((text(-999.4), text(1999.4), text(998.6)), (Some(999), Some(2999), Some(1999)));
    assert_eq!((text(-999.6), text(1999.5), text(f64::INFINITY)), (None, None, None));
}
