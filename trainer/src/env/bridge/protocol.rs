//! What goes over the socket: frames, little-endian, a header and as many bytes as its first number says. `bridge.py` has the table.

use crate::run::config::EnvConfig;
use anyhow::{Result, bail};
use serde::Deserialize;
use toml::Value;

/// Of the frames and of what is said at the start. Both sides are in one binary, so that it differs only where something else answers.
pub(super) const PROTOCOL: u32 = 1;
/// Bytes before an answer's payload.
pub(super) const HEADER: usize = 24;
/// No payload is longer: a picture of 4096 × 4096.
pub(super) const LONGEST: usize = 1 << 26;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Start,
    Reset,
    Step,
    Render,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON: [`Hello`].
    Spec,
    /// An observation, beside the header's reward and flags.
    State,
    /// Height and width as `u32`, and RGB.
    Picture,
    /// One line: the environment failed, or broke a rule.
    Fault,
    /// One line: what was asked for cannot be had.
    Refusal,
}

/// The header of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    /// Bytes of payload.
    pub(super) length: usize,
    /// Of the request.
    pub(super) number: u32,
    pub(super) reward: f64,
    pub(super) kind: Kind,
    pub(super) terminated: bool,
    pub(super) truncated: bool,
}

/// Makes `frame` a request.
pub(super) fn request(frame: &mut Vec<u8>, number: u32, operation: Operation, payload: &[u8]) {
    frame.clear();
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(number.to_le_bytes());
    frame.extend([operation as u8, 0, 0, 0]);
    frame.extend(payload);
}

impl Answer {
    /// Reads a header; nothing where the bytes are none.
    pub(super) fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let [l0, l1, l2, l3, n0, n1, n2, n3, r0, r1, r2, r3, r4, r5, r6, r7, kind, terminated, truncated, rest @ ..] =
            *bytes;
        let flag = |byte| (byte < 2).then_some(byte == 1);
        let kind = match kind {
            0 => Kind::Spec,
            1 => Kind::State,
            2 => Kind::Picture,
            3 => Kind::Fault,
            4 => Kind::Refusal,
            _ => return None,
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        (length <= LONGEST && rest == [0; 5]).then_some(())?;
        Some(Self {
            length,
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            reward: f64::from_le_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
            kind,
            terminated: flag(terminated)?,
            truncated: flag(truncated)?,
        })
    }
}

/// What an environment says of itself.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) versions: Versions,
    /// Gymnasium's name for it.
    pub(super) id: String,
    pub(super) time_limit: Option<u32>,
    pub(super) dt_s: Option<f64>,
    /// The parts of an observation, in order.
    pub(super) observation: Vec<Leaf>,
    /// Height, width and channels, where an observation is one picture of bytes.
    pub(super) image: Option<[usize; 3]>,
    /// What an observation is sent in.
    pub(super) dtype: Dtype,
    pub(super) action: Actions,
}

/// Of what answers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Versions {
    pub(super) python: String,
    pub(super) gymnasium: String,
    pub(super) numpy: String,
}

/// A part of an observation.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Leaf {
    pub(super) name: String,
    /// Numbers.
    pub(super) length: usize,
    /// Its space in Gymnasium: `Box`, `Discrete`, …
    pub(super) kind: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
}

/// The type of an observation's numbers on the socket.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dtype {
    Uint8,
    Float32,
    Float64,
}

/// What an environment takes.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Actions {
    Discrete { discrete: usize },
    Continuous { low: Vec<f32>, high: Vec<f32> },
}

/// What an environment is started with, `id` as Gymnasium has it.
///
/// # Errors
/// One line: a value of `env.kwargs` that JSON has not.
pub(super) fn start(env: &EnvConfig, id: &str, pictures: bool) -> Result<String> {
    let range: Vec<Value> = env.action_range.iter().copied().map(Value::Float).collect();
    let mut text = format!("{{\"protocol\":{PROTOCOL},\"id\":");
    json(&Value::String(id.into()), &mut text)?;
    text += ",\"kwargs\":";
    json(&Value::Table(env.kwargs.clone()), &mut text)?;
    text += &format!(",\"time_limit\":{},\"pictures\":{pictures},\"action_range\":", env.time_limit);
    json(&Value::Array(range), &mut text)?;
    text.push('}');
    Ok(text)
}

/// JSON as Python reads it: with infinities, which are usual among the ranges of environments.
fn json(value: &Value, text: &mut String) -> Result<()> {
    match value {
        Value::Float(value) if value.is_nan() => *text += "NaN",
        Value::Float(value) if value.is_infinite() => *text += if *value > 0.0 { "Infinity" } else { "-Infinity" },
        Value::Float(value) => *text += &format!("{value:?}"),
        Value::Integer(value) => *text += &value.to_string(),
        Value::Boolean(value) => *text += &value.to_string(),
        Value::String(value) => *text += &serde_json::to_string(value)?,
        Value::Array(values) => {
            text.push('[');
            for (i, value) in values.iter().enumerate() {
                *text += if i == 0 { "" } else { "," };
                json(value, text)?;
            }
            text.push(']');
        }
        Value::Table(table) => {
            text.push('{');
            for (i, (key, value)) in table.iter().enumerate() {
                *text += if i == 0 { "" } else { "," };
                *text += &serde_json::to_string(key)?;
                text.push(':');
                json(value, text)?;
            }
            text.push('}');
        }
        Value::Datetime(value) => {
            bail!("env.kwargs: expected numbers, text, flags, lists and tables, found the date {value}")
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_s_header_is_read_as_it_is_written_and_other_bytes_are_none() {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&48_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&7_u32.to_le_bytes());
        bytes[8..16].copy_from_slice(&(-0.25_f64).to_le_bytes());
        bytes[16..19].copy_from_slice(&[1, 0, 1]);
        let state = Answer { length: 48, number: 7, reward: -0.25, kind: Kind::State, terminated: false, truncated: true };
        assert_eq!(Answer::read(&bytes), Some(state));
        for (at, byte) in [(3, 0xff), (16, 5), (17, 2), (18, 255), (19, 1), (23, 1)] {
            let mut other = bytes;
            other[at] = byte;
            assert_eq!(Answer::read(&other), None, "byte {at} = {byte}");
        }
    }

    #[test]
    fn a_request_is_its_length_its_number_its_operation_and_its_payload() {
        let mut frame = vec![9; 40];
        request(&mut frame, 258, Operation::Step, &1.0_f32.to_le_bytes());
        assert_eq!(frame, [4, 0, 0, 0, 2, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn keyword_arguments_keep_their_types_and_infinities_are_python_s() {
        let mut text = String::new();
        let table: toml::Table =
            "a = [0.7, inf, -inf, nan]\nb = 3\nc = 3.0\nd = \"x \\\" y\"\ne = { f = true }".parse().unwrap();
        json(&Value::Table(table), &mut text).unwrap();
        let expected = r#"{"a":[0.7,Infinity,-Infinity,NaN],"b":3,"c":3.0,"d":"x \" y","e":{"f":true}}"#;
        assert_eq!(text, expected);
        let date: toml::Table = "a = 2020-01-01".parse().unwrap();
        let error = json(&Value::Table(date), &mut text).unwrap_err().to_string();
        assert!(error.contains("2020-01-01") && error.contains("env.kwargs"), "{error}");
    }
}
