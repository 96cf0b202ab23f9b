//! Where numbers stand in a simulation: what `of = "KIND:NAME[SLICE]"` comes to on a model, looked up once.
//!
//! | kind | numbers |
//! |---|---|
//! | `qpos` `qvel` `qacc` `act` `ctrl` | the simulator's arrays of that name |
//! | `sensordata` `actuator_force` `qfrc_actuator` `qfrc_constraint` | |
//! | `cinert` \[B·10\] `cvel` `cfrc_ext` \[B·6\] | of every body, the world's first |
//! | `sensor:NAME` | of one sensor |
//! | `joint:NAME` `joint_velocity:NAME` | of `qpos` and `qvel`, what one joint has there |
//! | `body:NAME` `site:NAME` `geom:NAME` | position in the world, m \[3\] |
//! | `body_velocity:NAME` `site_velocity:NAME` `geom_velocity:NAME` | velocity in the world, m/s \[3\] |
//! | `com` | centre of mass of all there is, m \[3\] |
//! | `action` | what was asked for \[A\], binary32; 0 before the first step |
//! | `time` | seconds since the start \[1\] |
//! | `alive` | 1, and 0 in a step that ends the task: in a reward only |
//! | `one` `zero` | these constants |
//!
//! What derives from the state (all but `qpos`, `qvel`, `act`, `ctrl`, `action` and `time`) is MuJoCo's of one simulator step before.

use super::super::numpy_math::sum;
use anyhow::{Context, Result, bail, ensure};
use mujoco_rs::wrappers::mj_model::{MjtJoint, MjtObjBase};
use mujoco_rs::wrappers::{MjData, MjModel};
use std::ops::Range;
use std::sync::Arc;

/// A simulator, and what it does not keep itself.
pub(in crate::env) struct World {
    pub(in crate::env) data: MjData<Arc<MjModel>>,
    /// `[A]`, as it was asked for.
    pub(in crate::env) action: Vec<f32>,
    /// Since the start of the episode.
    pub(in crate::env) time_s: f64,
}

/// An array of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Qpos,
    Qvel,
    Qacc,
    Act,
    Ctrl,
    SensorData,
    ActuatorForce,
    QfrcActuator,
    QfrcConstraint,
    Cinert,
    Cvel,
    CfrcExt,
    Body(usize),
    Site(usize),
    Geom(usize),
    Velocity(MjtObjBase, usize),
    CenterOfMass,
    Action,
    Time,
    Alive,
    Constant(f64),
}

/// A part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) range: Range<usize>,
}

/// A model, and the file that it came from.
#[derive(Clone, Copy)]
pub(in crate::env) struct Read<'a> {
    pub(in crate::env) model: &'a MjModel,
    pub(in crate::env) file: &'a str,
}

/// Kinds that stand for themselves.
const PLAIN: [(&str, Source); 18] = [
    ("qpos", Source::Qpos),
    ("qvel", Source::Qvel),
    ("qacc", Source::Qacc),
    ("act", Source::Act),
    ("ctrl", Source::Ctrl),
    ("sensordata", Source::SensorData),
    ("actuator_force", Source::ActuatorForce),
    ("qfrc_actuator", Source::QfrcActuator),
    ("qfrc_constraint", Source::QfrcConstraint),
    ("cinert", Source::Cinert),
    ("cvel", Source::Cvel),
    ("cfrc_ext", Source::CfrcExt),
    ("com", Source::CenterOfMass),
    ("action", Source::Action),
    ("time", Source::Time),
    ("alive", Source::Alive),
    ("one", Source::Constant(1.0)),
    ("zero", Source::Constant(0.0)),
];

/// Kinds of what has a name in the model.
const NAMED: [(&str, MjtObjBase); 9] = [
    ("sensor", MjtObjBase::mjOBJ_SENSOR),
    ("joint", MjtObjBase::mjOBJ_JOINT),
    ("joint_velocity", MjtObjBase::mjOBJ_JOINT),
    ("body", MjtObjBase::mjOBJ_BODY),
    ("site", MjtObjBase::mjOBJ_SITE),
    ("geom", MjtObjBase::mjOBJ_GEOM),
    ("body_velocity", MjtObjBase::mjOBJ_BODY),
    ("site_velocity", MjtObjBase::mjOBJ_SITE),
    ("geom_velocity", MjtObjBase::mjOBJ_GEOM),
];

impl World {
    /// The whole of `source`, where the simulator keeps it.
    #[inline]
    fn stored(&self, source: Source) -> &[f64] {
        let data = &self.data;
        match source {
            Source::Qpos => data.qpos(),
            Source::Qvel => data.qvel(),
            Source::Qacc => data.qacc(),
            Source::Act => data.act(),
            Source::Ctrl => data.ctrl(),
            Source::SensorData => data.sensordata(),
            Source::ActuatorForce => data.actuator_force(),
            Source::QfrcActuator => data.qfrc_actuator(),
            Source::QfrcConstraint => data.qfrc_constraint(),
            Source::Cinert => data.cinert().as_flattened(),
            Source::Cvel => data.cvel().as_flattened(),
            Source::CfrcExt => data.cfrc_ext().as_flattened(),
            Source::Body(i) => &data.xpos()[i],
            Source::Site(i) => &data.site_xpos()[i],
            Source::Geom(i) => &data.geom_xpos()[i],
            Source::Time => std::slice::from_ref(&self.time_s),
            // Made on demand: `Place::each`.
            Source::Velocity(..) | Source::CenterOfMass | Source::Action | Source::Alive | Source::Constant(_) => &[],
        }
    }

    /// Of everything in the model, in metres.
    fn center_of_mass(&self) -> [f64; 3] {
        let (masses, places) = (self.data.model().body_mass(), self.data.xipos());
        let total = sum(masses);
        // numpy adds body after body here, and does not fuse.
        std::array::from_fn(|axis| {
            masses.iter().zip(places).fold(0.0, |sum, (mass, place)| sum + mass * place[axis]) / total
        })
    }

    /// In the world's axes, m/s.
    fn velocity(&self, kind: MjtObjBase, index: usize) -> [f64; 3] {
        // Both were looked up in this model: it is there.
        let [.., x, y, z] = self.data.try_object_velocity(kind, index, false).unwrap_or_default();
        [x, y, z]
    }
}

impl Place {
    /// How many numbers.
    pub(super) const fn len(&self) -> usize {
        self.range.end - self.range.start
    }

    /// `op(out[i], number i)` for each number.
    #[inline]
    pub(super) fn each(&self, world: &World, out: &mut [f64], op: impl Fn(&mut f64, f64)) {
        let with = |numbers: &[f64], out: &mut [f64]| out.iter_mut().zip(numbers).for_each(|(out, x)| op(out, *x));
        let range = self.range.clone();
        match self.source {
            Source::Velocity(kind, index) => with(&world.velocity(kind, index)[range], out),
            Source::CenterOfMass => with(&world.center_of_mass()[range], out),
            Source::Action => out.iter_mut().zip(&world.action[range]).for_each(|(out, a)| op(out, f64::from(*a))),
            Source::Constant(x) => with(&[x], out),
            stored => with(&world.stored(stored)[range], out),
        }
    }

    /// The first number.
    pub(in crate::env) fn first(&self, world: &World) -> f64 {
        let mut number = [0.0];
        self.each(world, &mut number, |out, x| *out = x);
        number[0]
    }
}

impl Read<'_> {
    /// The index of what is called `name`.
    ///
    /// # Errors
    /// One line with the names that there are.
    pub(super) fn find(self, kind: MjtObjBase, what: &str, name: &str) -> Result<usize> {
        const SHOWN: usize = 12;
        let Self { model, file } = self;
        if let Some(index) = (!name.contains('\0')).then(|| model.name_to_id(kind, name)).flatten() {
            return Ok(index);
        }
        let count = match kind {
            MjtObjBase::mjOBJ_SENSOR => model.sensor_dim().len(),
            MjtObjBase::mjOBJ_JOINT => model.jnt_type().len(),
            MjtObjBase::mjOBJ_BODY => model.body_mass().len(),
            MjtObjBase::mjOBJ_SITE => model.site_bodyid().len(),
            MjtObjBase::mjOBJ_KEY => usize::try_from(model.nkey()).unwrap_or(0),
            _ => model.geom_bodyid().len(),
        };
        let names: Vec<&str> =
            (0..count).filter_map(|i| model.id_to_name(kind, i)).filter(|name| !name.is_empty()).collect();
        let known = match names.len() {
            0 => "none with a name".to_owned(),
            n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
            _ => names.join(", "),
        };
        bail!("{file} has no {what} `{name}`; it has {known}")
    }

    /// Where the numbers stand that `of` names.
    ///
    /// # Errors
    /// One line: no such kind, nothing of that name, or nothing there.
    pub(super) fn place(self, of: &str) -> Result<Place> {
        let (head, slice) = match of.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
            Some((head, slice)) => (head, Some(slice)),
            None => (of, None),
        };
        let (kind, name) = head.split_once(':').map_or((head, None), |(kind, name)| (kind, Some(name)));
        let (source, whole) = match name {
            None => self.plain(kind)?,
            Some(name) => self.named(kind, name)?,
        };
        let cut = slice.map_or(Ok(0..whole.len()), |slice| cut(slice, whole.len(), head))?;
        ensure!(!cut.is_empty(), "{head} has no numbers in {}", self.file);
        Ok(Place { source, range: whole.start + cut.start..whole.start + cut.end })
    }

    fn plain(self, kind: &str) -> Result<(Source, Range<usize>)> {
        let model = self.model;
        let Some((_, source)) = PLAIN.iter().find(|(known, _)| *known == kind) else {
            ensure!(NAMED.iter().all(|(known, _)| *known != kind), "{kind}: whose? expected {kind}:NAME");
            bail!("{}", unknown(kind));
        };
        let size = |n: i64| usize::try_from(n).unwrap_or(0);
        let bodies = model.body_mass().len();
        let len = match source {
            Source::Qpos => size(model.nq()),
            Source::Act => size(model.na()),
            Source::Ctrl | Source::Action => size(model.nu()),
            Source::SensorData => size(model.nsensordata()),
            Source::ActuatorForce => model.actuator_gear().len(),
            Source::Cinert => 10 * bodies,
            Source::Cvel | Source::CfrcExt => 6 * bodies,
            Source::CenterOfMass => 3,
            Source::Time | Source::Alive | Source::Constant(_) => 1,
            _ => size(model.nv()),
        };
        Ok((*source, 0..len))
    }

    fn named(self, kind: &str, name: &str) -> Result<(Source, Range<usize>)> {
        let model = self.model;
        let Some((_, object)) = NAMED.iter().find(|(known, _)| *known == kind) else {
            ensure!(PLAIN.iter().all(|(known, _)| *known != kind), "{kind} takes no name, found `{name}`");
            bail!("{}", unknown(kind));
        };
        let what = kind.strip_suffix("_velocity").unwrap_or(kind);
        let index = self.find(*object, what, name)?;
        let span = |start: i32, len: usize| start as usize..start as usize + len;
        let joint = || model.jnt_type()[index];
        Ok(match kind {
            "sensor" => (Source::SensorData, span(model.sensor_adr()[index], model.sensor_dim()[index] as usize)),
            "joint" => (Source::Qpos, span(model.jnt_qposadr()[index], sizes(joint()).0)),
            "joint_velocity" => (Source::Qvel, span(model.jnt_dofadr()[index], sizes(joint()).1)),
            "body" => (Source::Body(index), 0..3),
            "site" => (Source::Site(index), 0..3),
            "geom" => (Source::Geom(index), 0..3),
            // Of a body's frame, whose position is `body`'s; not of its centre of mass.
            "body_velocity" => (Source::Velocity(MjtObjBase::mjOBJ_XBODY, index), 0..3),
            _ => (Source::Velocity(*object, index), 0..3),
        })
    }
}

/// How many positions and velocities a joint has.
pub(super) const fn sizes(joint: MjtJoint) -> (usize, usize) {
    match joint {
        MjtJoint::mjJNT_FREE => (7, 6),
        MjtJoint::mjJNT_BALL => (4, 3),
        _ => (1, 1),
    }
}

fn unknown(kind: &str) -> String {
    let plain: Vec<&str> = PLAIN.iter().map(|(name, _)| *name).collect();
    let named: Vec<String> = NAMED.iter().map(|(name, _)| format!("{name}:NAME")).collect();
    format!("`{kind}`: unknown; known: {}, {}", plain.join(", "), named.join(", "))
}

/// `[i]`, `[a:b]`, `[a:]` or `[:b]` of `len` numbers; below 0 counts from the end.
fn cut(slice: &str, len: usize, whole: &str) -> Result<Range<usize>> {
    let number = |text: &str, otherwise: usize| -> Result<usize> {
        if text.trim().is_empty() {
            return Ok(otherwise);
        }
        let i: i64 = text
            .trim()
            .parse()
            .ok()
            .with_context(|| format!("{whole}[{slice}]: expected a slice as in [2], [-1], [1:], [:3] or [1:3]"))?;
        let from_start = if i < 0 { i + i64::try_from(len)? } else { i };
        let place = usize::try_from(from_start).ok().filter(|place| *place <= len);
        place.with_context(|| format!("{whole}[{slice}]: out of range: {whole} has {len} numbers"))
    };
    let range = match slice.split_once(':') {
        Some((from, to)) => number(from, 0)?..number(to, len)?,
        None => {
            ensure!(!slice.trim().is_empty(), "{whole}[]: expected a slice as in [2], [-1], [1:], [:3] or [1:3]");
            let at = number(slice, 0)?;
            at..at + 1
        }
    };
    ensure!(range.end <= len, "{whole}[{slice}]: out of range: {whole} has {len} numbers");
    ensure!(range.start < range.end, "{whole}[{slice}]: expected at least one number, found none");
    Ok(range)
}
