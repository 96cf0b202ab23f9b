//! A dense layer in a packed file: its shape, where its weights and biases lie, and the checks that reading it makes.

use bytemuck::AnyBitPattern;
use dreamstep_core::error::LoadError;
use dreamstep_core::layout::Panels;
use dreamstep_core::precision::{Precision, bf16_to_f32, is_exact_weight};
use dreamstep_core::reader::{File, Tensor};
use dreamstep_core::schema::{LayerSpec, Spec};

/// A layer: weights in panels, and a bias for each output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'f> {
    shape: Panels,
    pub(crate) bias: &'f [f32], // [P·W]
    pub(crate) weights: Weights<'f>,
}

/// `[P, ⌈K/g⌉, W, g]`, see [`dreamstep_core::layout`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weights<'f> {
    F32(&'f [f32]),
    /// Of an f16 file: inputs are rounded, so that products are exact ([`dreamstep_core::precision`]).
    F16(&'f [u16]),
    /// Of an i8 file: inputs stay as they are.
    F16Unrounded(&'f [u16]),
    /// Inputs are rounded. Pairs of inputs: the even one in the lower half.
    Bf16(&'f [u32]),
    I8(Integers<'f>),
    /// Of an i8 file's convolution.
    Bytes {
        weights: &'f [[i8; 4]],
        /// `[P·W]`
        scales: &'f [f32],
    },
}

/// Integer weights, what they are worth, the factors of the inputs, and the weights' sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers<'f> {
    pub(crate) weights: &'f [[i8; 4]],
    pub(crate) scales: &'f [f32], // [P·W]
    pub(crate) inputs: &'f [f32], // [K] padded
    pub(crate) sums: &'f [i32],   // [P·W]
}

impl<'f> Layer<'f> {
    /// `K`: inputs of every output.
    #[inline(always)]
    pub(crate) const fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// `W`: outputs in a panel.
    #[inline(always)]
    pub(crate) const fn width(&self) -> usize {
        self.shape.width
    }

    /// `P·W`: outputs, padding included.
    #[inline(always)]
    pub(crate) const fn outputs(&self) -> usize {
        self.shape.outputs()
    }

    /// Reads and checks a layer; none where it is optional and absent.
    ///
    /// # Errors
    /// It is needed and absent, or a tensor of it is not what it must be.
    pub(crate) fn read_optional(file: &File<'f>, spec: &LayerSpec, precision: Precision) -> Result<Option<Self>, LoadError> {
        if spec.optional && spec.tensors(precision).all(|tensor| file.tensor(tensor.name).is_none()) {
            return Ok(None);
        }
        let (shape, names) = (spec.panels(), spec.names);
        for tensor in spec.tensors(precision) {
            check(&file.tensor(tensor.name).ok_or(LoadError::MissingTensor { name: tensor.name })?, &tensor)?;
        }
        let bias = finite(values(file, names.bias)?, names.bias, f32::is_finite)?;
        let name = names.panels;
        let weights = match spec.precision(precision) {
            Precision::F32 => Weights::F32(finite(values(file, name)?, name, f32::is_finite)?),
            Precision::F16 => {
                let weights = finite(values(file, name)?, name, |bits: u16| bits & 0x7c00 != 0x7c00)?;
                if precision == Precision::F16 { Weights::F16(weights) } else { Weights::F16Unrounded(weights) }
            }
            Precision::Bf16 => {
                let weights = finite(values(file, name)?, name, |bits: u16| bits & 0x7f80 != 0x7f80)?;
                if let Some(index) = weights.iter().position(|&bits| !is_exact_weight(bf16_to_f32(bits))) {
                    return Err(LoadError::WeightRange { name, index });
                }
                Weights::Bf16(values(file, name)?)
            }
            Precision::I8 => {
                let weights: &[[i8; 4]] = values(file, name)?;
                let scales = finite(values(file, names.scale)?, names.scale, f32::is_finite)?;
                let sums: &[i32] = values(file, names.sum)?;
                check_sums(&shape, weights, sums, names.sum)?;
                if spec.of_bytes {
                    return Ok(Some(Self { shape, bias, weights: Weights::Bytes { weights, scales } }));
                }
                let inputs = finite(values(file, names.input)?, names.input, f32::is_finite)?;
                Weights::I8(Integers { weights, scales, inputs, sums })
            }
        };
        Ok(Some(Self { shape, bias, weights }))
    }

    /// Reads and checks a layer that must be there.
    ///
    /// # Errors
    /// As for [`Self::read_optional`].
    pub(crate) fn read(file: &File<'f>, spec: &LayerSpec, precision: Precision) -> Result<Self, LoadError> {
        Self::read_optional(file, spec, precision)?.ok_or(LoadError::MissingTensor { name: spec.names.panels })
    }

    /// A layer of f32 weights from the beginning of `values`: its panels, then its biases. Returns what follows, too.
    ///
    /// # Errors
    /// There are too few values, or one is not finite.
    pub(crate) fn of_values(spec: &LayerSpec, values: &'f [f32]) -> Result<(Self, &'f [f32]), LoadError> {
        let shape = spec.panels();
        let short =
            |name, expected, found| LoadError::WrongShape { name, expected: [expected, 0, 0, 0], found: [found, 0, 0, 0] };
        let (panels, rest) = values.split_at_checked(shape.len(Precision::F32)).ok_or(short(
            spec.names.panels,
            shape.len(Precision::F32),
            values.len(),
        ))?;
        let (bias, rest) =
            rest.split_at_checked(shape.outputs()).ok_or(short(spec.names.bias, shape.outputs(), rest.len()))?;
        finite(panels, spec.names.panels, f32::is_finite)?;
        finite(bias, spec.names.bias, f32::is_finite)?;
        Ok((Self { shape, bias, weights: Weights::F32(panels) }, rest))
    }
}

/// Reads and checks a vector of the file.
///
/// # Errors
/// It is absent, of another dtype or shape, misaligned, or a value is not finite.
pub(crate) fn vector<'f>(file: &File<'f>, spec: &Spec) -> Result<&'f [f32], LoadError> {
    check(&file.tensor(spec.name).ok_or(LoadError::MissingTensor { name: spec.name })?, spec)?;
    values_of(file, spec.name)
}

/// Reads and checks a table of integers.
///
/// # Errors
/// It is absent, of another dtype or shape, or misaligned.
pub(crate) fn integers<'f>(file: &File<'f>, spec: &Spec) -> Result<&'f [i32], LoadError> {
    check(&file.tensor(spec.name).ok_or(LoadError::MissingTensor { name: spec.name })?, spec)?;
    values(file, spec.name)
}

/// The bytes of a tensor.
pub(crate) fn bytes_of<'f>(file: &File<'f>, name: &'static str) -> Result<&'f [u8], LoadError> {
    values(file, name)
}

/// The values of a tensor that [`check`] passed.
///
/// # Errors
/// They are misaligned, or one is not finite.
pub(crate) fn values_of<'f>(file: &File<'f>, name: &'static str) -> Result<&'f [f32], LoadError> {
    finite(values(file, name)?, name, f32::is_finite)
}

/// Checks dtype and shape.
///
/// # Errors
/// One of them is another.
pub(crate) fn check(tensor: &Tensor<'_>, spec: &Spec) -> Result<(), LoadError> {
    let Spec { name, dtype: expected, shape } = *spec;
    if tensor.dtype != expected {
        return Err(LoadError::WrongDtype { name, expected, found: tensor.dtype.into() });
    }
    let rank = shape.iter().take_while(|&&axis| axis > 0).count();
    if tensor.rank() != rank {
        return Err(LoadError::WrongRank { name, expected: rank, found: tensor.rank() });
    }
    if tensor.shape() != &shape[..rank] {
        let mut found = [0; 4];
        found.iter_mut().zip(tensor.shape()).for_each(|(slot, &axis)| *slot = axis);
        return Err(LoadError::WrongShape { name, expected: shape, found });
    }
    Ok(())
}

/// A tensor's values, in place.
fn values<'f, T: AnyBitPattern>(file: &File<'f>, name: &'static str) -> Result<&'f [T], LoadError> {
    let tensor = file.tensor(name).ok_or(LoadError::MissingTensor { name })?;
    bytemuck::try_cast_slice(tensor.data).map_err(|_| LoadError::Misaligned { name })
}

/// The values, none of them infinite or NaN.
fn finite<'f, T: Copy>(values: &'f [T], name: &'static str, is_finite: impl Fn(T) -> bool) -> Result<&'f [T], LoadError> {
    match values.iter().position(|&value| !is_finite(value)) {
        Some(index) => Err(LoadError::NonFinite { name, index }),
        None => Ok(values),
    }
}

/// That each output's integer weights add up to what the file says.
fn check_sums(shape: &Panels, weights: &[[i8; 4]], sums: &[i32], name: &'static str) -> Result<(), LoadError> {
    let panel = shape.groups(Precision::I8) * shape.width;
    for (p, (weights, sums)) in weights.chunks_exact(panel).zip(sums.chunks_exact(shape.width)).enumerate() {
        for (lane, &found) in sums.iter().enumerate() {
            let groups = weights.iter().skip(lane).step_by(shape.width);
            let expected = groups.flatten().fold(0, |sum: i32, &weight| sum.wrapping_add(i32::from(weight)));
            if expected != found {
                return Err(LoadError::WrongSum { name, index: p * shape.width + lane, expected, found });
            }
        }
    }
    Ok(())
}
