//! `[env.task]`: a task on a MuJoCo model, as text. What it comes to on a model is `crate::env`'s to say.
//!
//! Each list is read element by element, so that an error can say which one it means. Wherever one is expected, a string stands for
//! `{ of = "…" }`.

use anyhow::{Result, ensure};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Value;

/// What a task is on top of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskConfig {
    /// Simulator steps in one environment step.
    pub frame_skip: u32,
    /// Steps after which an episode is cut.
    pub time_limit: u32,
    /// The keyframe of the model that episodes start from; none is the model's own pose.
    pub keyframe: String,
    /// What is drawn and set at the start of an episode, in this order.
    #[serde(deserialize_with = "each")]
    pub reset: Vec<StartConfig>,
    /// What is observed: its blocks, in this order.
    #[serde(deserialize_with = "each")]
    pub observe: Vec<QuantityConfig>,
    /// The terms of the reward.
    #[serde(deserialize_with = "each")]
    pub reward: Vec<QuantityConfig>,
    /// What ends the task: any of these ranges.
    #[serde(deserialize_with = "each")]
    pub terminate: Vec<QuantityConfig>,
    /// What a distance in metres is read from, as `of` names it: `qpos[0]`. None where there is none.
    pub distance: String,
    /// Where films look at it from.
    pub camera: CameraConfig,
    /// What the model must come to.
    pub expect: ExpectConfig,
}

/// One quantity, what is made of it, and, in a reward, what it counts for. What applies where is in `docs/environments.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantityConfig {
    /// How reports call it; `of` where it is left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which numbers: a kind, the name of the one that is meant, and a slice: `qpos[1:]`, `sensor:imu`, `site:tip[2]`.
    pub of: String,
    /// What is taken off: a number, one for each, or another quantity.
    #[serde(skip_serializing_if = "Minus::is_nothing")]
    pub minus: Minus,
    /// Then multiplied by this.
    #[serde(skip_serializing_if = "is_one")]
    pub scale: f64,
    /// And divided by this.
    #[serde(skip_serializing_if = "is_one")]
    pub divide: f64,
    /// Then this function, of each number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<Map>,
    /// Then bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Span>,
    /// Then made one number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take: Option<Take>,
    /// Then its mean rate of change over the step, per second, in its place.
    #[serde(skip_serializing_if = "is_false")]
    pub rate: bool,
    /// Then raised to this power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Then e to the power of so many times it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<f64>,
    /// Then whether every number is in this range: 1, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<[f64; 2]>,
    /// Or whether any is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<[f64; 2]>,
    /// The range is open: its bounds are not in it.
    #[serde(skip_serializing_if = "is_false")]
    pub strict: bool,
    /// `reward`: multiplied by this.
    #[serde(skip_serializing_if = "is_one")]
    pub weight: f64,
    /// `reward`: and kept within ± this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// `reward`: terms of one group are added up first, then the groups, in the order in which they appear.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
}

/// One draw at the start of an episode, or one setting: exactly one of `uniform`, `normal`, `set` and `box`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartConfig {
    /// Which numbers: of `qpos`, `qvel`, `joint:NAME` or `joint_velocity:NAME`.
    pub of: String,
    /// Adds a uniform draw to each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniform: Option<Span>,
    /// Adds a normal draw of this standard deviation to each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normal: Option<f64>,
    /// Sets them: one number for all, or one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Numbers>,
    /// Sets them to a uniform draw from a box: the range of each.
    #[serde(rename = "box", skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<[f64; 2]>,
    /// `box`: drawn again unless so far from the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub farther_than: Option<f64>,
    /// `box`: drawn again unless so near to the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearer_than: Option<f64>,
}

/// A camera. What is left out follows from the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// The body that it follows along the ground; `world` stays where it is.
    pub body: String,
    /// The point that it looks at, in metres: x and y from that body, z from the ground.
    pub look_at: Vec<f64>,
    /// Metres from there; 0 is as far as the model is large.
    pub distance_m: f64,
    /// Degrees around the vertical; 90 looks along y.
    pub azimuth_deg: f64,
    /// Degrees above the horizon that it looks; below 0, it looks down.
    pub elevation_deg: f64,
}

/// What a model must come to, so that another version of its file is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectConfig {
    /// Numbers in an observation; 0 leaves it open.
    pub observations: usize,
    /// Numbers in an action; 0 leaves it open.
    pub actions: usize,
    /// The least and the most that every actuator obeys; none leaves it open.
    pub action_range: Vec<f64>,
    /// Seconds of an environment step; 0 leaves it open.
    pub period_s: f64,
}

/// `[env.randomise]`: factors on a MuJoCo model's own numbers, drawn anew for each episode, uniformly from `[low, high]`. None is off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomiseConfig {
    /// Of each body's mass and inertia.
    pub mass: Vec<f64>,
    /// Of all friction of contacts: one factor, since a contact takes the larger of two.
    pub friction: Vec<f64>,
    /// Of each joint's damping.
    pub damping: Vec<f64>,
    /// Of each joint's armature.
    pub armature: Vec<f64>,
    /// Of each actuator's force for what it is told.
    pub gain: Vec<f64>,
}

/// What is taken off a quantity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum Minus {
    /// Nothing.
    #[default]
    Nothing,
    /// Another quantity, as `of` names it.
    Quantity(String),
    /// Numbers.
    Numbers(Numbers),
}

/// One number for all, or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum Numbers {
    /// For all.
    One(f64),
    /// For each.
    Each(Vec<f64>),
}

/// `x` for [-x, x], or `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum Span {
    /// Symmetric.
    Half(f64),
    /// From and to.
    Range([f64; 2]),
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Map {
    /// Sine, of radians.
    Sin,
    /// Cosine, of radians.
    Cos,
    /// Magnitude.
    Abs,
    /// Hyperbolic tangent.
    Tanh,
}

/// One number of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// Their sum.
    Sum,
    /// The sum of their squares.
    Squares,
    /// The root of that.
    Norm,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self {
            frame_skip: 1,
            time_limit: 1000,
            keyframe: String::new(),
            reset: Vec::new(),
            observe: Vec::new(),
            reward: Vec::new(),
            terminate: Vec::new(),
            distance: String::new(),
            camera: CameraConfig::default(),
            expect: ExpectConfig::default(),
        }
    }
}

impl Default for QuantityConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            of: String::new(),
            minus: Minus::Nothing,
            scale: 1.0,
            divide: 1.0,
            map: None,
            clip: None,
            take: None,
            rate: false,
            power: None,
            exp: None,
            inside: None,
            outside: None,
            strict: false,
            weight: 1.0,
            limit: None,
            group: String::new(),
        }
    }
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self { body: String::new(), look_at: Vec::new(), distance_m: 0.0, azimuth_deg: 90.0, elevation_deg: -15.0 }
    }
}

impl TaskConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl RandomiseConfig {
    /// Every range, by its key.
    fn ranges(&self) -> [(&'static str, &[f64]); 5] {
        let Self { mass, friction, damping, armature, gain } = self;
        [("mass", mass), ("friction", friction), ("damping", damping), ("armature", armature), ("gain", gain)]
    }

    /// Whether anything is drawn.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.ranges().iter().any(|(_, range)| !range.is_empty())
    }

    /// # Errors
    /// One line that names the key.
    pub(super) fn validate(&self) -> Result<()> {
        for (key, range) in self.ranges() {
            ensure!(
                range.is_empty() || range.len() == 2 && range[0] <= range[1],
                "env.randomise.{key} = {range:?}: must be empty, or [low, high], factors of which the first is not above the second"
            );
        }
        Ok(())
    }
}

impl Minus {
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl Span {
    /// From and to.
    #[must_use]
    pub const fn range(self) -> [f64; 2] {
        match self {
            Self::Half(half) => [-half, half],
            Self::Range(range) => range,
        }
    }
}

impl TryFrom<Value> for Numbers {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let list = || value.as_array()?.iter().map(number).collect::<Option<Vec<f64>>>();
        let numbers = number(&value).map(Self::One).or_else(|| list().map(Self::Each));
        numbers.ok_or_else(|| format!("expected a number or a list of numbers, found {value}"))
    }
}

impl TryFrom<Value> for Minus {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::String(of) => Ok(Self::Quantity(of)),
            value => Numbers::try_from(value).map(Self::Numbers).map_err(|error| format!("{error}, nor a quantity's name")),
        }
    }
}

impl TryFrom<Value> for Span {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match Numbers::try_from(value) {
            Ok(Numbers::One(half)) => Ok(Self::Half(half)),
            Ok(Numbers::Each(range)) if range.len() == 2 => Ok(Self::Range([range[0], range[1]])),
            Ok(Numbers::Each(other)) => Err(format!("expected a number or [low, high], found {} numbers", other.len())),
            Err(error) => Err(error),
        }
    }
}

/// TOML tells 1 from 1.0; a user need not.
fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

const fn is_false(value: &bool) -> bool {
    !*value
}

/// A list whose errors name the element: its place, and its name where it has one.
fn each<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> std::result::Result<Vec<T>, D::Error> {
    let read = |(i, value): (usize, Value)| {
        let table = match value {
            Value::Table(table) => table,
            Value::String(of) => toml::Table::from_iter([("of".to_owned(), Value::String(of))]),
            other => {
                return Err(D::Error::custom(format!("[{i}]: expected a string or a table, found {}", other.type_str())));
            }
        };
        let name = table.get("name").or_else(|| table.get("of")).and_then(Value::as_str).unwrap_or_default().to_owned();
        T::deserialize(table).map_err(|error| D::Error::custom(format!("[{i}] (`{name}`): {error}")))
    };
    Vec::<Value>::deserialize(deserializer)?.into_iter().enumerate().map(read).collect()
}
