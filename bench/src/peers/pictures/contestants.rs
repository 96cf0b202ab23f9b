//! The encoder in libtorch, ONNX Runtime, tract and candle: sessions and tensors made once, one copy of the picture in, one of the latent
//! out.

use super::graph::{self, LATENT, Numbers, PICTURE};
use super::{Convolution, Encoder, Picture};
use crate::peers::onnxruntime::{run, session};
use crate::peers::{Step, candle, torch};
use anyhow::{Context, Result, ensure};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::Tensor as OrtTensor;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// Operators one by one.
pub(super) struct Torch {
    input: Box<[f32]>, // [c, h, w], what `picture` looks at
    picture: tch::Tensor,
    convolutions: Vec<[tch::Tensor; 2]>,
    geometry: Vec<[i64; 2]>, // stride, padding
    mean: torch::Affine,
}

impl Torch {
    /// Of weights that lie as they come, or with their channels innermost: convolutions follow them.
    pub(super) fn new(encoder: &Encoder, channels_last: bool) -> Self {
        let _no_grad = tch::no_grad_guard();
        let [height, width, mut channels] = encoder.image.map(|n| n as i64);
        let input = vec![0.0_f32; (height * width * channels) as usize].into_boxed_slice();
        // SAFETY: the tensor looks at `input`, whose block stays where it is and lives as long as the tensor, both being fields of
        // one value; it is written only in `step`, which has that value to itself, and no operator writes to a picture.
        let picture = unsafe {
            let (shape, strides) = ([1, channels, height, width], [channels * height * width, height * width, width, 1]);
            tch::Tensor::from_blob(input.as_ptr().cast(), &shape, &strides, tch::Kind::Float, tch::Device::Cpu)
        };
        let mut convolutions = Vec::new();
        for Convolution { layer, kernel, .. } in &encoder.convolutions {
            let (outputs, kernel) = (layer.outputs() as i64, *kernel as i64);
            let mut weight = tch::Tensor::from_slice(&layer.weight).view([outputs, channels, kernel, kernel]);
            if channels_last {
                weight = weight.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            }
            convolutions.push([weight, tch::Tensor::from_slice(&layer.bias)]);
            channels = outputs;
        }
        let geometry = |of: &Convolution| [of.stride as i64, of.padding as i64];
        let geometry = encoder.convolutions.iter().map(geometry).collect();
        Self { input, picture, convolutions, geometry, mean: torch::Affine::new(&encoder.mean) }
    }
}

impl Step<Picture> for Torch {
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, picture: &Picture, latent: &mut [f32]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.input.copy_from_slice(&picture.planes);
        let mut x = self.picture.shallow_clone();
        for ([weight, bias], [stride, padding]) in self.convolutions.iter().zip(&self.geometry) {
            x = x.conv2d(weight, Some(bias), [*stride; 2], [*padding; 2], [1, 1], 1).relu_();
        }
        let z = self.mean.of(&x.flatten(0, -1));
        ensure!(z.numel() == latent.len(), "libtorch: expected {} latents, found {}", latent.len(), z.numel());
        z.copy_data(latent, latent.len());
        Ok(())
    }
}

/// A session with every optimisation and one thread, input and output bound.
pub(super) struct OnnxRuntime {
    session: Session,
    picture: OrtTensor<f32>,
    latent: OrtTensor<f32>,
    binding: IoBinding,
}

impl OnnxRuntime {
    pub(super) fn new(encoder: &Encoder, numbers: Numbers, ranges: &[f32]) -> Result<Self> {
        let session = session(&graph::model(encoder, numbers, ranges)).context("ONNX Runtime")?;
        let allocator = Allocator::default();
        let [height, width, channels] = encoder.image;
        let picture = OrtTensor::<f32>::new(&allocator, [1, channels, height, width])?;
        let mut latent = OrtTensor::<f32>::new(&allocator, [1, encoder.mean.outputs()])?;
        let mut binding = session.create_binding()?;
        binding.bind_input(PICTURE, &picture)?;
        binding.bind_output(LATENT, &mut latent)?;
        Ok(Self { session, picture, latent, binding })
    }
}

impl Step<Picture> for OnnxRuntime {
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, picture: &Picture, latent: &mut [f32]) -> Result<()> {
        self.picture.extract_tensor_mut().1.copy_from_slice(&picture.planes);
        run(&mut self.session, &self.binding)?;
        latent.copy_from_slice(self.latent.extract_tensor().1);
        Ok(())
    }
}

/// The same graph, optimised, in one state that is used again.
pub(super) struct Tract {
    state: TypedSimpleState,
    picture: Arc<Tensor>,
}

impl Tract {
    pub(super) fn new(encoder: &Encoder) -> Result<Self> {
        let model = graph::model(encoder, Numbers::Float32, &[]);
        let plan = tract_onnx::onnx().model_for_read(&mut &model[..])?.into_optimized()?.into_runnable()?;
        let [height, width, channels] = encoder.image;
        let picture = Arc::new(Tensor::zero::<f32>(&[1, channels, height, width])?);
        Ok(Self { state: plan.spawn()?, picture })
    }
}

impl Step<Picture> for Tract {
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, picture: &Picture, latent: &mut [f32]) -> Result<()> {
        // Between runs nobody else holds the tensor, so that this copies the picture and nothing more.
        let mut input = Arc::make_mut(&mut self.picture).try_as_plain_ram_mut()?;
        input.as_slice_mut::<f32>()?.copy_from_slice(&picture.planes);
        let outputs = self.state.run(tvec!(TValue::from_const(self.picture.clone()))).context("tract")?;
        ensure!(outputs.len() == 1, "tract: expected 1 output, found {}", outputs.len());
        latent.copy_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}

/// Tensors on one thread of the processor.
pub(super) struct Candle {
    image: [usize; 3],
    convolutions: Vec<[candle_core::Tensor; 2]>,
    geometry: Vec<[usize; 2]>, // stride, padding
    mean: candle::Affine,
}

impl Candle {
    pub(super) fn new(encoder: &Encoder) -> Result<Self> {
        let device = candle_core::Device::Cpu;
        let mut convolutions = Vec::new();
        let mut channels = encoder.image[2];
        for Convolution { layer, kernel, .. } in &encoder.convolutions {
            let shape = (layer.outputs(), channels, *kernel, *kernel);
            let weight = candle_core::Tensor::from_slice(&layer.weight, shape, &device)?;
            let bias = candle_core::Tensor::from_slice(&layer.bias, (1, layer.outputs(), 1, 1), &device)?;
            convolutions.push([weight, bias]);
            channels = layer.outputs();
        }
        let geometry = encoder.convolutions.iter().map(|of| [of.stride, of.padding]).collect();
        Ok(Self { image: encoder.image, convolutions, geometry, mean: candle::Affine::new(&encoder.mean)? })
    }
}

impl Step<Picture> for Candle {
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, picture: &Picture, latent: &mut [f32]) -> Result<()> {
        let [height, width, channels] = self.image;
        let shape = (1, channels, height, width);
        let mut x = candle_core::Tensor::from_slice(&picture.planes, shape, &candle_core::Device::Cpu)?;
        for ([weight, bias], &[stride, padding]) in self.convolutions.iter().zip(&self.geometry) {
            x = x.conv2d(weight, padding, stride, 1, 1)?.broadcast_add(bias)?.relu()?;
        }
        candle::copy(&self.mean.forward(&x.flatten_from(1)?)?, latent)
    }
}
