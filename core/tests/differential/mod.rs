//! What do our reader and the `safetensors` crate say of the same bytes? The crate judges: what it rejects we may not
//! accept, and what both accept they must read alike. Shared by the test of random damage and by the fuzzer.
//!
//! What it accepts and we refuse is a decision, and each is one of these classes:
//!
//! | class | the crate | ours, because |
//! |---|---|---|
//! | duplicate | keeps the last of two tensors or values, whatever the first was | two readers could take different ones |
//! | escape | resolves JSON escapes in names | names need no memory to compare |
//! | unknown key | skips a tensor's unknown keys | a key nobody understands may change the meaning |
//! | form | a tensor as an array, a dtype as an object, null for no metadata | serde's habit, not the format |
//! | sub-byte | F4, F6_E2M3, F6_E3M2 | no whole number of bytes |
//! | overflow | an empty tensor whose other axes times the element's size overflow | the product is taken in order |
//! | limits | headers of 100 MB, any number of tensors, keys and axes | a robot's memory and time |

use dreamstep_core::error::{ReadError, Text};
use dreamstep_core::reader::File;
use safetensors::tensor::{SafeTensors, TensorView};
use std::collections::BTreeMap;

/// Tensors (dtype, shape, data) and metadata by name: what a file says, whoever reads it.
pub(crate) type Content = (BTreeMap<String, (String, Vec<usize>, Vec<u8>)>, BTreeMap<String, String>);

pub(crate) fn ours(bytes: &[u8]) -> Result<Content, ReadError> {
    let file = File::parse(bytes)?;
    let tensors = file.tensors().map(|t| (t.name.into(), (t.dtype.into(), t.shape().to_vec(), t.data.to_vec()))).collect();
    // Ours leaves escapes as they stand; here JSON's own reader resolves them, if it can.
    let plain = |text: &str| serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_string());
    Ok((tensors, file.metadata_entries().map(|(key, value)| (key.into(), plain(value))).collect()))
}

pub(crate) fn judge(bytes: &[u8]) -> Result<Content, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let tensor = |t: TensorView<'_>| (t.dtype().to_string(), t.shape().to_vec(), t.data().to_vec());
    let tensors = file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect();
    Ok((tensors, header.metadata().clone().unwrap_or_default().into_iter().collect()))
}

/// What the crate accepts and we refuse, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stricter {
    Duplicate,
    Escape,
    UnknownKey,
    Form,
    SubByte,
    Overflow,
    Limit,
}

/// The class of our error; none if this is not one that we mean to be stricter in. The header's own text must bear it out.
pub(crate) fn class(bytes: &[u8], error: &ReadError) -> Option<Stricter> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let from = |at: usize| &header[at..];
    match *error {
        // The crate forgets the first of two tensors before it looks at its size and its place; ours has refused it by then.
        ReadError::Duplicate { name } | ReadError::WrongLength { name, .. } | ReadError::OutOfRange { name, .. }
            if keys(header).iter().filter(|key| Text::new(key) == name).count() > 1 =>
        {
            Some(Stricter::Duplicate)
        }
        ReadError::Syntax { at, expected: "a name without escapes" } => {
            from(at).starts_with('\\').then_some(Stricter::Escape)
        }
        ReadError::Syntax { at, expected: "`dtype`, `shape` or `data_offsets`" } => {
            from(at).trim_start().starts_with('"').then_some(Stricter::UnknownKey)
        }
        ReadError::Syntax { at, expected: "`{`" } => {
            (from(at).starts_with('[') || from(at).starts_with("null")).then_some(Stricter::Form)
        }
        ReadError::Syntax { at, expected: "a string" } => from(at).starts_with('{').then_some(Stricter::Form),
        ReadError::UnknownDtype { found, .. } if ["F4", "F6_E2M3", "F6_E3M2"].contains(&found.as_str()) => {
            Some(Stricter::SubByte)
        }
        ReadError::WrongLength { expected: None, found: 0, .. } => Some(Stricter::Overflow),
        ReadError::HeaderTooLarge { .. }
        | ReadError::TooManyTensors { .. }
        | ReadError::TooManyKeys { .. }
        | ReadError::TooManyAxes { .. } => Some(Stricter::Limit),
        _ => None,
    }
}

/// Every key of every object in `header`, which is valid JSON (the crate accepts it), escapes resolved.
fn keys(header: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('"') {
        let mut end = start + 1;
        while rest.as_bytes()[end] != b'"' {
            end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        let (string, after) = (&rest[start..=end], &rest[end + 1..]);
        if after.trim_start().starts_with(':') {
            keys.push(serde_json::from_str(string).expect("valid JSON"));
        }
        rest = after;
    }
    keys
}

/// How the two readers agree on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// And read the same.
    BothAccept,
    BothRefuse,
    /// The crate accepts it, and we mean not to.
    OursIsStricter(Stricter),
}

/// The verdict, or how they disagree.
pub(crate) fn verdict(bytes: &[u8]) -> Result<Verdict, String> {
    match (ours(bytes), judge(bytes)) {
        (Ok(found), Ok(expected)) if found == expected => Ok(Verdict::BothAccept),
        (Ok(found), Ok(expected)) => Err(format!("read differently: ours {found:?}, the crate {expected:?}")),
        (Ok(_), Err(error)) => Err(format!("ours accepts what the crate rejects ({error})")),
        (Err(error), Ok(_)) => match class(bytes, &error) {
            Some(class) => Ok(Verdict::OursIsStricter(class)),
            None => Err(format!("ours is stricter without meaning to ({error})")),
        },
        (Err(_), Err(_)) => Ok(Verdict::BothRefuse),
    }
}
