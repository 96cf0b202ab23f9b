//! Reading a file's metadata: a choice, a size, a list of widths, a number; each refusal names the key, what may stand there and what does.

use crate::error::LoadError;
use crate::reader::File;
use crate::sizes::{MAX_DIM, Widths};

/// Widths as [`widths`] reads them.
#[cfg(feature = "host")]
pub(crate) fn comma_separated(widths: &[usize]) -> std::string::String {
    use std::string::ToString;
    widths.iter().map(ToString::to_string).collect::<std::vec::Vec<_>>().join(",")
}

pub(crate) fn value<'a>(file: &File<'a>, key: &'static str) -> Result<&'a str, LoadError> {
    file.metadata(key).ok_or(LoadError::MissingKey { key })
}

pub(crate) fn one_of<T: Copy>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<T, LoadError> {
    let found = value(file, key)?;
    let choice = choices.iter().find(|(name, _)| *name == found);
    choice.map(|&(_, choice)| choice).ok_or(LoadError::BadValue { key, expected, found: found.into() })
}

/// A size: 1 to [`MAX_DIM`].
fn size(text: &str) -> Option<usize> {
    text.parse().ok().filter(|size| (1..=MAX_DIM).contains(size))
}

pub(crate) fn dim(file: &File<'_>, key: &'static str) -> Result<usize, LoadError> {
    let found = value(file, key)?;
    size(found).ok_or(LoadError::BadValue { key, expected: "an integer from 1 to 65536", found: found.into() })
}

/// One to `N` sizes, separated by commas.
pub(crate) fn widths<const N: usize>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
) -> Result<Widths<N>, LoadError> {
    let found = value(file, key)?;
    let (mut sizes, mut len) = ([0; N], 0);
    for text in found.split(',') {
        match (sizes.get_mut(len), size(text)) {
            (Some(slot), Some(size)) => *slot = size,
            _ => return Err(LoadError::BadValue { key, expected, found: found.into() }),
        }
        len += 1;
    }
    let widths = sizes.get(..len).and_then(Widths::new);
    widths.ok_or(LoadError::BadValue { key, expected, found: found.into() })
}

/// `N` whole numbers below 2³², separated by commas.
pub(crate) fn numbers<const N: usize>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
) -> Result<[usize; N], LoadError> {
    let found = value(file, key)?;
    let (mut all, mut texts) = ([0; N], found.split(','));
    let parsed = all.iter_mut().all(|slot| {
        let number = texts.next().and_then(|text| text.parse::<u32>().ok()).and_then(|number| usize::try_from(number).ok());
        number.map(|number| *slot = number).is_some()
    });
    if parsed && texts.next().is_none() { Ok(all) } else { Err(LoadError::BadValue { key, expected, found: found.into() }) }
}

pub(crate) fn number(file: &File<'_>, key: &'static str) -> Result<f32, LoadError> {
    parsed(file, key, "a finite number", f32::is_finite)
}

pub(crate) fn parsed<T: Copy + core::str::FromStr>(
    file: &File<'_>,
    key: &'static str,
    expected: &'static str,
    rule: impl Fn(T) -> bool,
) -> Result<T, LoadError> {
    let found = value(file, key)?;
    let parsed = found.parse().ok().filter(|&value| rule(value));
    parsed.ok_or(LoadError::BadValue { key, expected, found: found.into() })
}
