//! What is in a numpy array that somebody else wrote? `.npy` files and the members of `.npz` archives, stored or deflated, in any
//! numeric dtype: read as f32, with the dtype kept for the message that says so.

use anyhow::{Context, Result, anyhow, bail, ensure};
use ndarray::ArrayViewD;
use ndarray_npy::{ViewElement, ViewNpyError, ViewNpyExt};
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

/// Bytes of one array at most: a file may claim anything.
const ARRAY_BYTES_MAX: u64 = 1 << 32;

/// An array, its values in rows whatever order the file had.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// numpy's name of the type that the file has.
    pub dtype: &'static str,
    /// Sizes, slowest axis first.
    pub shape: Vec<usize>,
    /// `shape`'s product many values, rounded to f32.
    pub values: Vec<f32>,
}

impl Array {
    /// The array in the bytes of an `.npy` file. The header is not believed: a huge shape is an error and not an allocation.
    ///
    /// # Errors
    /// One line: not a whole array, or not one of numbers.
    pub fn from_npy(bytes: &[u8]) -> Result<Self> {
        // A view needs its elements aligned.
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        let aligned = &mut bytemuck::cast_slice_mut(&mut words)[..bytes.len()];
        aligned.copy_from_slice(bytes);
        macro_rules! one_of {
            ($($type:ty, $dtype:literal, $widen:expr;)*) => {$(
                if let Some(array) = typed::<$type>(aligned, $dtype, $widen)? {
                    return Ok(array);
                }
            )*};
        }
        one_of! {
            f32, "float32", |v| v;
            f64, "float64", |v| v as f32;
            bool, "bool", |v| f32::from(u8::from(v));
            u8, "uint8", f32::from;
            i8, "int8", f32::from;
            u16, "uint16", f32::from;
            i16, "int16", f32::from;
            u32, "uint32", |v| v as f32;
            i32, "int32", |v| v as f32;
            u64, "uint64", |v| v as f32;
            i64, "int64", |v| v as f32;
        }
        bail!("expected an array of float32, float64, bool or integers (little-endian), found another type")
    }

    /// Rows of a table: a vector is a table of one column.
    ///
    /// # Errors
    /// One line: more than two axes.
    pub fn table(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows] => Ok((rows, 1)),
            [rows, columns] => Ok((rows, columns)),
            _ => bail!(
                "expected one vector a step, found shape {:?}{}",
                self.shape,
                if self.shape.len() > 2 { ": images need a convolutional V, and dreamstep has none" } else { "" }
            ),
        }
    }

    /// Whether the type is one of whole numbers.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        !self.dtype.starts_with("float")
    }
}

/// The array, if it is one of `T`.
fn typed<T: ViewElement + Copy>(bytes: &[u8], dtype: &'static str, widen: impl Fn(T) -> f32) -> Result<Option<Array>> {
    match ArrayViewD::<'_, T>::view_npy(bytes) {
        Ok(view) => {
            let shape = view.shape().to_vec();
            Ok(Some(Array { dtype, shape, values: view.iter().map(|&v| widen(v)).collect() }))
        }
        Err(ViewNpyError::WrongDescriptor(_)) => Ok(None),
        Err(error) => Err(anyhow!("expected a whole numpy array: {error}")),
    }
}

/// The array in the file at `path`, and the file's bytes.
///
/// # Errors
/// One line that names `path`.
pub fn read_npy(path: &Path) -> Result<(Array, Vec<u8>)> {
    let bytes = read_file(path)?;
    let array = Array::from_npy(&bytes).with_context(|| path.display().to_string())?;
    Ok((array, bytes))
}

/// The bytes of the file at `path`.
///
/// # Errors
/// One line that names `path`: it cannot be read, or is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).with_context(|| format!("{}: cannot read", path.display()))?;
    ensure!(metadata.is_file(), "{}: expected a file, found a folder or a device", path.display());
    let found = metadata.len();
    ensure!(found <= ARRAY_BYTES_MAX, "{}: expected at most {ARRAY_BYTES_MAX} bytes, found {found}", path.display());
    std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))
}

/// The arrays of an `.npz` archive.
pub struct Npz<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Npz<'a> {
    /// The archive in `bytes`.
    ///
    /// # Errors
    /// One line: not a whole archive.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { archive: ZipArchive::new(Cursor::new(bytes)).map_err(|e| anyhow!("expected a whole .npz file: {e}"))? })
    }

    /// The array called `key`, if it is there.
    ///
    /// # Errors
    /// One line that names `key`: it is damaged, or no array of numbers.
    pub fn find(&mut self, key: &str) -> Result<Option<Array>> {
        let entry = match self.archive.by_name(&format!("{key}.npy")) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(anyhow!("{key}: {error}")),
        };
        let mut bytes = Vec::new();
        entry.take(ARRAY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| anyhow!("{key}: {e}"))?;
        ensure!(bytes.len() as u64 <= ARRAY_BYTES_MAX, "{key}: expected at most {ARRAY_BYTES_MAX} bytes, found more");
        Array::from_npy(&bytes).map(Some).with_context(|| key.to_owned())
    }

    /// The names of the arrays.
    pub fn keys(&self) -> String {
        let names = self.archive.file_names().map(|name| name.trim_end_matches(".npy"));
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.join(", ")
    }
}
