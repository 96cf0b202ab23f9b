//! The road of an episode: a closed track through twelve random checkpoints, cut into tiles.
//!
//! ```text
//! seed → 12 × (angle, radius) → a point steered from one to the next, lap after lap → the second lap, if it closes → tiles and borders
//! ```
//!
//! As Gymnasium 1.4.0 draws and computes it (`CarRacing._create_track`), in binary64 and in its order of operations, down to the bits.

use super::super::numpy_random::NumpyRandom;
use super::scene::RoadPolygon;
use std::f64::consts::PI;

/// World units for six pixels' worth of Gymnasium's own sizes.
const SCALE: f64 = 6.0;
/// The track is a morphed circle of this radius.
const RADIUS: f64 = 900.0 / SCALE;
/// From one point of the track to the next.
const DETAIL_STEP: f64 = 21.0 / SCALE;
/// Radians that one step turns by, at most.
const TURN_RATE: f64 = 0.31;
/// From the middle of the road to its edge.
pub(super) const WIDTH: f64 = 40.0 / SCALE;
/// How wide the red and white border is.
const BORDER: f64 = 8.0 / SCALE;
/// Steps that must turn hard, to one side, for a border.
const BORDER_MIN_COUNT: usize = 4;
const CHECKPOINTS: usize = 12;
/// After so many steps a track is given up.
const MOST_STEPS: usize = 2500;

/// A point of the track's middle line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Its angle seen from the origin.
    pub(super) alpha: f64,
    /// Across the road, to the right: the road leads at a right angle to the left of it.
    pub(super) beta: f64,
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A road.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Track {
    /// Tile i lies between point i − 1 and point i; the car starts on point 0.
    pub(super) points: Vec<Point>,
    /// Tiles and borders, in Gymnasium's `road_poly` order.
    pub(super) polygons: Vec<RoadPolygon>,
    /// Where in `polygons` tile i is.
    pub(super) tiles: Vec<usize>,
}

impl Track {
    /// The first track that closes, of those that `rng` draws; its tiles are shades of `colour`.
    pub(super) fn new(rng: &mut NumpyRandom, colour: [f64; 3]) -> Self {
        loop {
            let checkpoints = checkpoints(rng);
            if let Some(points) = second_lap(&walk(&checkpoints)) {
                return Self::of(points, colour);
            }
        }
    }

    fn of(points: Vec<Point>, colour: [f64; 3]) -> Self {
        let borders = borders(&points);
        let (mut polygons, mut tiles) = (Vec::with_capacity(2 * points.len()), Vec::with_capacity(points.len()));
        for (i, &to) in points.iter().enumerate() {
            let from = points[before(i, 1, points.len())];
            tiles.push(polygons.len());
            let shade = 0.01 * (i % 3) as f64 * 255.0;
            polygons.push(RoadPolygon {
                vertices: across(to, from, [-WIDTH, WIDTH]),
                colour: colour.map(|c| (c + shade) as u8),
            });
            if borders[i] {
                let side = sign(from.beta - to.beta);
                let colour = if i % 2 == 0 { [255, 255, 255] } else { [255, 0, 0] };
                polygons.push(RoadPolygon { vertices: across(to, from, [side * WIDTH, side * (WIDTH + BORDER)]), colour });
            }
        }
        Self { points, polygons, tiles }
    }
}

/// `numpy.sign`.
pub(super) fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// `i - steps` around a ring of `n`.
fn before(i: usize, steps: usize, n: usize) -> usize {
    (i + n - steps) % n
}

/// The corners at `offsets` across the road, at `to` and then back at `from`.
fn across(to: Point, from: Point, [left, right]: [f64; 2]) -> [[f64; 2]; 4] {
    let at = |point: Point, offset: f64| [point.x + offset * point.beta.cos(), point.y + offset * point.beta.sin()];
    [at(to, left), at(to, right), at(from, right), at(from, left)]
}

/// A place that the track passes by: its angle seen from the origin, and where it is.
struct Checkpoint {
    alpha: f64,
    x: f64,
    y: f64,
}

fn checkpoints(rng: &mut NumpyRandom) -> [Checkpoint; CHECKPOINTS] {
    const COUNT: f64 = CHECKPOINTS as f64;
    std::array::from_fn(|c| {
        let noise = rng.uniform(0.0, 2.0 * PI * 1.0 / COUNT);
        let (mut alpha, mut radius) = (2.0 * PI * c as f64 / COUNT + noise, rng.uniform(RADIUS / 3.0, RADIUS));
        if c == 0 {
            (alpha, radius) = (0.0, 1.5 * RADIUS);
        }
        if c == CHECKPOINTS - 1 {
            (alpha, radius) = (2.0 * PI * c as f64 / COUNT, 1.5 * RADIUS);
        }
        Checkpoint { alpha, x: radius * alpha.cos(), y: radius * alpha.sin() }
    })
}

/// Where the middle of a lap's first straight is, as an angle.
const START_ALPHA: f64 = 2.0 * PI * -0.5 / CHECKPOINTS as f64;

/// Five laps from checkpoint to checkpoint.
fn walk(checkpoints: &[Checkpoint; CHECKPOINTS]) -> Vec<Point> {
    let (mut x, mut y, mut beta) = (1.5 * RADIUS, 0.0_f64, 0.0_f64);
    let (mut next, mut laps, mut is_on_other_side) = (0, 0, false);
    let mut points = Vec::with_capacity(MOST_STEPS);
    while laps <= 4 && points.len() < MOST_STEPS {
        let mut alpha = y.atan2(x);
        if is_on_other_side && alpha > 0.0 {
            laps += 1;
            is_on_other_side = false;
        }
        if alpha < 0.0 {
            is_on_other_side = true;
            alpha += 2.0 * PI;
        }
        let goal = ahead(checkpoints, &mut next, &mut alpha);
        let (sin, cos) = (beta.sin(), beta.cos());
        // How far off the way the goal is.
        let mut aside = cos * (goal.x - x) + sin * (goal.y - y);
        while beta - alpha > 1.5 * PI {
            beta -= 2.0 * PI;
        }
        while beta - alpha < -1.5 * PI {
            beta += 2.0 * PI;
        }
        let beta_before = beta;
        aside *= SCALE;
        if aside > 0.3 {
            beta -= TURN_RATE.min((0.001 * aside).abs());
        }
        if aside < -0.3 {
            beta += TURN_RATE.min((0.001 * aside).abs());
        }
        x += -sin * DETAIL_STEP;
        y += cos * DETAIL_STEP;
        points.push(Point { alpha, beta: beta_before * 0.5 + beta * 0.5, x, y });
    }
    points
}

/// The next checkpoint that is not passed yet, from `next` on; after the last of them `alpha` begins a new lap.
fn ahead<'a>(checkpoints: &'a [Checkpoint; CHECKPOINTS], next: &mut usize, alpha: &mut f64) -> &'a Checkpoint {
    loop {
        loop {
            let goal = &checkpoints[*next % CHECKPOINTS];
            if *alpha <= goal.alpha {
                return goal;
            }
            *next += 1;
            if next.is_multiple_of(CHECKPOINTS) {
                break;
            }
        }
        *alpha -= 2.0 * PI;
    }
}

/// The last whole lap of `points`, from start to start, if there is one and its ends meet.
fn second_lap(points: &[Point]) -> Option<Vec<Point>> {
    let is_start = |&i: &usize| points[i].alpha > START_ALPHA && points[i - 1].alpha <= START_ALPHA;
    let mut starts = (1..points.len()).rev().filter(is_start);
    let (last, first) = (starts.next()?, starts.next()?);
    let lap = &points[first..last - 1];
    let (head, tail) = (lap.first()?, lap.last()?);
    let (sin, cos) = head.beta.sin_cos();
    let (aside_x, aside_y) = (cos * (head.x - tail.x), sin * (head.y - tail.y));
    let gap = (aside_x * aside_x + aside_y * aside_y).sqrt();
    (gap <= DETAIL_STEP).then(|| lap.to_vec())
}

/// Which tiles have a border: those of hard turns and the ones before them.
fn borders(points: &[Point]) -> Vec<bool> {
    let n = points.len();
    let turn = |i: usize, steps: usize| points[before(i, steps, n)].beta - points[before(i, steps + 1, n)].beta;
    let is_hard = |i: usize| {
        let turns = (0..BORDER_MIN_COUNT).map(|steps| turn(i, steps));
        let is_sharp = turns.clone().all(|turn| turn.abs() > TURN_RATE * 0.2);
        is_sharp && turns.map(sign).sum::<f64>().abs() == BORDER_MIN_COUNT as f64
    };
    let mut borders: Vec<bool> = (0..n).map(is_hard).collect();
    for i in 0..n {
        for steps in 0..BORDER_MIN_COUNT {
            let is_hard = borders[i];
            borders[before(i, steps, n)] |= is_hard;
        }
    }
    borders
}
