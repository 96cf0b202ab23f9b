//! numpy arrays from other programs: `.npy` files, and the members of `.npz` archives, stored or deflated.
//!
//! `ndarray-npy` reads an array whose type is known and of this machine's byte order. Added here: a type that is found out, binary16,
//! the other byte order, and the name of a type that is refused.

use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::pack::AlignedBytes;
use ndarray::{ArrayView, ArrayViewD, Dimension};
use ndarray_npy::{ViewElement, ViewNpyExt};
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

/// Bytes of one array or file at most: a header may say anything.
const BYTES_MAX: u64 = 1 << 32;

/// An array of numbers of any type, widened or rounded to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// numpy's name of the type in the file: `float64`.
    pub dtype: String,
    /// Sizes, slowest axis first.
    pub shape: Vec<usize>,
    /// `shape`'s product many values, in rows whatever order the file had.
    pub values: Vec<f32>,
}

impl Array {
    /// The array in the bytes of an `.npy` file.
    ///
    /// # Errors
    /// One line: not a whole array, or not one of real numbers, with the type that was found.
    pub fn from_npy(mut bytes: Vec<u8>) -> Result<Self> {
        let Header { code, at, data } = Header::parse(&bytes)?;
        let (order, kind) = (code.as_bytes().first(), code.as_bytes().get(1));
        let size: usize = code.get(2..).and_then(|size| size.parse().ok()).unwrap_or(0);
        if let (Some(b'>'), Some(b'f' | b'i' | b'u'), 2 | 4 | 8) = (order, kind, size) {
            bytes[data..].chunks_exact_mut(size).for_each(<[u8]>::reverse);
            bytes[at] = b'<';
        }
        if (kind, size) == (Some(&b'f'), 2) {
            bytes[at + 1] = b'u'; // the library reads the bits
        }
        let dtype = name(&code, size);
        let bytes = AlignedBytes::new(&bytes);
        let (shape, values) = match dtype.as_str() {
            "float16" => widen::<u16>(&bytes, |v| half::f16::from_bits(v).to_f32())?,
            "float32" => widen::<f32>(&bytes, |v| v)?,
            "float64" => widen::<f64>(&bytes, |v| v as f32)?,
            "bool" => widen::<bool>(&bytes, |v| f32::from(u8::from(v)))?,
            "uint8" => widen::<u8>(&bytes, f32::from)?,
            "int8" => widen::<i8>(&bytes, f32::from)?,
            "uint16" => widen::<u16>(&bytes, f32::from)?,
            "int16" => widen::<i16>(&bytes, f32::from)?,
            "uint32" => widen::<u32>(&bytes, |v| v as f32)?,
            "int32" => widen::<i32>(&bytes, |v| v as f32)?,
            "uint64" => widen::<u64>(&bytes, |v| v as f32)?,
            "int64" => widen::<i64>(&bytes, |v| v as f32)?,
            _ => bail!("expected an array of floats of 16, 32 or 64 bits, integers or bool, found {dtype}"),
        };
        Ok(Self { dtype, shape, values })
    }

    /// `(rows, columns)` of a table; a vector is a table of one column.
    ///
    /// # Errors
    /// One line: no axis, or more than two.
    pub fn table(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows] => Ok((rows, 1)),
            [rows, columns] => Ok((rows, columns)),
            [] => bail!("expected one vector a step, found a single number"),
            _ => bail!(
                "expected one vector a step, found shape {:?}: images are read where the environment shows pictures (env.recorded.image), several \
                 environments side by side are not",
                self.shape
            ),
        }
    }

    /// Whether the type is one of whole numbers or flags.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.dtype.starts_with("float")
    }
}

/// What the text before the data says.
struct Header {
    /// The type's code, `<f4`; empty for a record.
    code: String,
    /// Where in the file the code stands.
    at: usize,
    /// Where the data begins.
    data: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let (start, length) = match bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
                (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize)
            }
            _ => bail!("expected a whole numpy array, found no header of one"),
        };
        let data = start + length;
        let text = bytes.get(start..data).and_then(|text| std::str::from_utf8(text).ok());
        let text = text.context("expected a whole numpy array, found its header cut off")?;
        let key = text.find("descr").context("expected a numpy array, found a header without `descr`")?;
        let colon = text[key..].find(':').map_or(text.len(), |colon| key + colon + 1);
        let value = text[colon..].trim_start();
        let quoted = value.strip_prefix(['\'', '"']).and_then(|code| code.split(['\'', '"']).next());
        Ok(Self { code: quoted.unwrap_or_default().to_owned(), at: start + text.len() - value.len() + 1, data })
    }
}

/// numpy's name of the type with this code and size in bytes.
fn name(code: &str, size: usize) -> String {
    match code.as_bytes().get(1) {
        Some(b'f') => format!("float{}", 8 * size),
        Some(b'i') => format!("int{}", 8 * size),
        Some(b'u') => format!("uint{}", 8 * size),
        Some(b'b') => "bool".into(),
        Some(b'c') => format!("complex{}", 8 * size),
        Some(b'O') => "object (pickled; rows of unequal length, or None?)".into(),
        Some(b'U' | b'S') => format!("text ({code})"),
        Some(b'M') => "datetime64".into(),
        Some(b'm') => "timedelta64".into(),
        _ if code.is_empty() => "a record of several fields".into(),
        _ => format!("`{code}`"),
    }
}

/// numpy's name of the type of the array in the bytes of an `.npy` file: `float32`.
///
/// # Errors
/// One line: no header of an array.
pub fn dtype(bytes: &[u8]) -> Result<String> {
    let code = Header::parse(bytes)?.code;
    Ok(name(&code, code.get(2..).and_then(|size| size.parse().ok()).unwrap_or(0)))
}

/// The shape and the values, converted, of an array of `T`.
fn widen<T: ViewElement + Copy>(bytes: &[u8], to: impl Fn(T) -> f32) -> Result<(Vec<usize>, Vec<f32>)> {
    let view = ArrayViewD::<'_, T>::view_npy(bytes).map_err(|e| anyhow!("expected a whole numpy array: {e}"))?;
    Ok((view.shape().to_vec(), view.iter().map(|&value| to(value)).collect()))
}

/// The array in the bytes of an `.npy` file, of exactly this type and number of axes, in rows. The header is not believed: a huge shape is
/// an error and not an allocation.
///
/// # Errors
/// One line: another type or shape, or not a whole array.
pub fn exact<T: ViewElement + Clone, D: Dimension>(bytes: &[u8]) -> Result<ndarray::Array<T, D>> {
    let bytes = AlignedBytes::new(bytes);
    let view: ArrayViewD<'_, T> = ArrayView::view_npy(&bytes)?;
    let shape = view.shape().to_vec();
    let view = view.into_dimensionality::<D>();
    let view = view.map_err(|_| anyhow!("expected {} dimensions, found shape {shape:?}", D::NDIM.unwrap_or_default()))?;
    Ok(view.as_standard_layout().into_owned())
}

/// As [`exact`], of bytes, of which the array takes the place: a second copy of many frames would be as large again.
///
/// # Errors
/// As [`exact`]'s.
pub fn exact_bytes<D: Dimension>(mut bytes: Vec<u8>) -> Result<ndarray::Array<u8, D>> {
    let view: ArrayViewD<'_, u8> = ArrayView::view_npy(&bytes)?;
    let shape = view.raw_dim();
    if !view.is_standard_layout() || D::NDIM != Some(shape.ndim()) {
        return exact(&bytes);
    }
    // What is before the data, and nothing is behind.
    let header = bytes.len() - view.len();
    bytes.drain(..header);
    Ok(ndarray::Array::from_shape_vec(shape, bytes)?.into_dimensionality()?)
}

/// The bytes of the file at `path`.
///
/// # Errors
/// One line that does not name `path`: it cannot be read, or is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).context("cannot read")?;
    ensure!(metadata.is_file(), "expected a file, found a folder or a device");
    ensure!(metadata.len() <= BYTES_MAX, "expected at most {BYTES_MAX} bytes, found {}", metadata.len());
    std::fs::read(path).context("cannot read")
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

    /// The `.npy` file of the array called `key`, if it is there.
    ///
    /// # Errors
    /// One line that names `key`: it is damaged or too large.
    pub fn find(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let entry = match self.archive.by_name(&format!("{key}.npy")) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(anyhow!("{key}: {error}")),
        };
        let mut bytes = Vec::new();
        entry.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| anyhow!("{key}: {e}"))?;
        ensure!(bytes.len() as u64 <= BYTES_MAX, "{key}: expected at most {BYTES_MAX} bytes, found more");
        Ok(Some(bytes))
    }

    /// The array called `key`, of exactly this type and number of axes.
    ///
    /// # Errors
    /// One line that names `key` and `dtype`, numpy's name of `T`.
    pub fn exact<T: ViewElement + Clone, D: Dimension>(&mut self, key: &str, dtype: &str) -> Result<ndarray::Array<T, D>> {
        let bytes = self.find(key)?.with_context(|| format!("{key}: expected an array of {dtype}, found none"))?;
        exact(&bytes).map_err(|e| anyhow!("{key}: expected an array of {dtype}: {e}"))
    }

    /// The names of the members; arrays without their `.npy`, folders not at all.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().filter(|name| !name.ends_with('/'));
        let mut names: Vec<String> = names.map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        names.sort_unstable();
        names
    }
}
