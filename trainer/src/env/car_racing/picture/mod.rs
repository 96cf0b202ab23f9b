//! The picture of `CarRacing-v3`, bit for bit Gymnasium 1.4.0's `state_pixels` with pygame-ce 2.5.8.

#[cfg(test)]
mod naive;
mod score;
mod view;

pub use score::ScoreTable;
#[cfg(test)]
pub fn naive_picture(s: &super::scene::Scene<'_>, t: Option<&ScoreTable>) -> Vec<u8> { naive::picture(s, t) }

/// Side of the picture in pixels.
pub const SIDE: usize = 96;
/// `car.hull.color`, `WHEEL_COLOR` and `WHEEL_WHITE` as they are painted.
const HULL: [u8; 3] = [204, 0, 0];
const WHEEL: [u8; 3] = [0; 3];
const STRIPE: [u8; 3] = [77; 3];
