//! One race: what happens in an episode, without what is seen of it.
//!
//! ```text
//! seed → colours, track, car ─ step: controls → wheels → which tiles are touched → world ─ reward = tiles·1000/n − 0.1, ended?
//! ```
//!
//! As Gymnasium 1.4.0's `CarRacing.reset` and `step`.

use super::super::numpy_random::NumpyRandom;
use super::car::{Car, DT_S, SHAPES};
use super::scene::{PLAYFIELD, Scene};
use super::shape::{Bounds, Polygon, touch};
use super::track::Track;
use super::world::WHEELS;

/// What a step is asked to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Controls {
    /// Where the steering wheel is turned to, −1 (left) to 1 (right).
    pub(super) steer: f64,
    /// 0 to 1.
    pub(super) gas: f64,
    /// 0 to 1; from 0.9 on the wheels lock.
    pub(super) brake: f64,
}

/// What may be different from race to race.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    /// Colours are drawn anew for each race, before its track.
    pub(super) domain_randomize: bool,
    /// Of the tiles, how much must be behind the car at its first touch of tile 0 to end the race there: see [`Race::step`].
    pub(super) lap_complete_percent: f64,
}

/// Fixtures of the car: polygons of the hull, then wheels.
const PARTS: usize = 4 + WHEELS;

/// A tile of the road.
#[derive(Debug, Clone)]
struct Tile {
    polygon: Polygon,
    bounds: Bounds,
    /// Which parts of the car touch it, a bit for each.
    touched: u8,
    is_visited: bool,
}

/// A race.
#[derive(Debug, Clone)]
pub(super) struct Race {
    rules: Rules,
    pub(super) track: Track,
    pub(super) car: Car,
    tiles: Vec<Tile>,
    colours: Colours,
    t: f64,
    /// The sum of rewards, and what it was a step before.
    reward: f64,
    reward_before: f64,
    /// The sum of rewards as the picture shows it.
    reward_shown: f64,
    /// How many tiles are visited.
    pub(super) visited: usize,
    is_lap_complete: bool,
}

/// Red, green and blue, 0 to 255, in Gymnasium's own fractions.
#[derive(Debug, Clone, Copy)]
struct Colours {
    road: [f64; 3],
    background: [f64; 3],
    grass: [f64; 3],
}

impl Colours {
    fn draw(rng: &mut NumpyRandom) -> Self {
        let [road, background] = [(); 2].map(|()| std::array::from_fn(|_| rng.uniform(0.0, 210.0)));
        let mut grass: [f64; 3] = background;
        grass[rng.integer(3) as usize] += 20.0;
        Self { road, background, grass }
    }

    const USUAL: Self =
        Self { road: [102.0, 102.0, 102.0], background: [102.0, 204.0, 102.0], grass: [102.0, 230.0, 102.0] };
}

/// As the drawing routines take a colour.
fn truncated(colour: [f64; 3]) -> [u8; 3] {
    colour.map(|c| c as u8)
}

impl Race {
    /// The race that `seed` names, after its first step, in which nothing is asked for and which is not paid.
    pub(super) fn new(seed: u64, rules: Rules) -> Self {
        let mut rng = NumpyRandom::new(seed);
        let colours = if rules.domain_randomize { Colours::draw(&mut rng) } else { Colours::USUAL };
        let track = Track::new(&mut rng, colours.road);
        let tile = |&polygon: &usize| {
            let corners = track.polygons[polygon].vertices.map(|corner| corner.map(|x| x as f32));
            let polygon = Polygon::around(&corners);
            let bounds = Bounds::around(polygon.vertices().iter().map(|&[x, y]| super::plane::vector(x, y)));
            Tile { polygon, bounds, touched: 0, is_visited: false }
        };
        let tiles = track.tiles.iter().map(tile).collect();
        let car = Car::new(&track.points[0]);
        let mut race = Self {
            rules,
            track,
            car,
            tiles,
            colours,
            t: 0.0,
            reward: 0.0,
            reward_before: 0.0,
            reward_shown: 0.0,
            visited: 0,
            is_lap_complete: false,
        };
        race.advance();
        race
    }

    /// One step: its reward, and whether the race is over.
    ///
    /// It is over where every tile is visited or the car has left the field. `lap_complete_percent` is asked for only at the first visit of
    /// tile 0, which the car stands on at its start: so in Gymnasium 1.4.0 it decides nothing unless it is as small as 1/n or 2/n.
    pub(super) fn step(&mut self, Controls { steer, gas, brake }: Controls) -> (f64, bool) {
        self.car.control(-steer, gas, brake);
        self.advance();
        self.reward -= 0.1;
        let reward = self.reward - self.reward_before;
        self.reward_before = self.reward;
        if self.is_off_field() {
            return (-100.0, true);
        }
        (reward, self.visited == self.tiles.len() || self.is_lap_complete)
    }

    fn is_off_field(&self) -> bool {
        self.car.hull().pose.position.iter().any(|&x| f64::from(x).abs() > PLAYFIELD)
    }

    fn advance(&mut self) {
        self.car.drive();
        self.find_touched();
        self.car.world.step(DT_S as f32);
        self.t += DT_S;
        self.reward_shown = self.reward;
    }

    /// Which tiles the car touches where it is, tile after tile from the last to the first, as Box2D's list of contacts has them in a new
    /// world.
    fn find_touched(&mut self) {
        let world = &self.car.world;
        let shapes = &*SHAPES;
        let parts: [(&Polygon, _); PARTS] = std::array::from_fn(|i| match i.checked_sub(4) {
            None => (&shapes.hull[i], world.hull.pose),
            Some(wheel) => (&shapes.wheel, world.wheels[wheel].pose),
        });
        let bounds = parts.map(|(polygon, pose)| Bounds::of(polygon, &pose));
        let around = bounds[1..].iter().fold(bounds[0], |all, &part| all.with(part));
        for i in (0..self.tiles.len()).rev() {
            let tile = &self.tiles[i];
            let before = tile.touched;
            let is_near = tile.bounds.is_near(&around);
            if !is_near && before == 0 {
                continue;
            }
            let touches = |&part: &usize| {
                let (polygon, pose) = &parts[part];
                is_near && tile.bounds.is_near(&bounds[part]) && touch(&tile.polygon, polygon, pose)
            };
            let touched = (0..PARTS).filter(touches).fold(0, |touched, part| touched | 1 << part);
            if touched != before {
                self.change(i, touched);
            }
        }
    }

    /// Tile `i` is now touched by other parts: it is painted anew, wheels feel it, and its first wheel is paid for.
    fn change(&mut self, i: usize, touched: u8) {
        let tile = &mut self.tiles[i];
        let changed = std::mem::replace(&mut tile.touched, touched) ^ touched;
        self.track.polygons[self.track.tiles[i]].colour = truncated(self.colours.road);
        for wheel in (0..WHEELS).filter(|wheel| changed >> (4 + wheel) & 1 == 1) {
            let is_on = touched >> (4 + wheel) & 1 == 1;
            self.car.touch(wheel, is_on);
            if is_on && !self.tiles[i].is_visited {
                self.tiles[i].is_visited = true;
                self.visited += 1;
                let n = self.tiles.len() as f64;
                self.reward += 1000.0 / n;
                self.is_lap_complete |= i == 0 && self.visited as f64 / n > self.rules.lap_complete_percent;
            }
        }
    }

    /// What a picture of it shows.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            road: &self.track.polygons,
            background: truncated(self.colours.background),
            grass: truncated(self.colours.grass),
            hull: self.car.hull(),
            wheels: self.car.wheels(),
            t: self.t,
            reward: self.reward_shown,
        }
    }
}
