//! Criterion benches of the kernels (whole vectors of maths, the encoder with the controller, the LSTM, the MDN head), of the whole
//! step, and of loading a model; for every back end of this processor.

use criterion::{Criterion, criterion_group, criterion_main};
use dreamstep_core::maths;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Agent, Backend, Model, memory_len};
use std::hint::black_box;

fn kernels_and_step(criterion: &mut Criterion) {
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = Model::load_with(HUMANOID, backend).expect("the fixture loads");
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(&model, &mut memory).expect("enough memory");
        let observation = synthetic::observation(model.dims(), 0, 0);
        let mut action = vec![0.0; model.dims().action];
        let name = |kernel: &str| format!("{kernel}/{}", backend.name());
        criterion.bench_function(&name("act (encoder + controller)"), |bencher| {
            bencher.iter(|| agent.act(black_box(&observation), &mut action));
        });
        criterion.bench_function(&name("step (act + advance)"), |bencher| {
            bencher.iter(|| agent.step(black_box(&observation), &mut action));
        });
        criterion.bench_function(&name("predict (MDN head)"), |bencher| {
            bencher.iter(|| agent.predict().map(|prediction| prediction.reward()));
        });
        criterion.bench_function(&name("load"), |bencher| {
            bencher.iter(|| Model::load_with(black_box(HUMANOID), backend).map(|model| model.backend()));
        });
    }
}

fn scalar_maths(criterion: &mut Criterion) {
    let inputs: Vec<f32> = (0..1024).map(|i| (i as f32 - 512.0) / 64.0).collect();
    for (name, function) in [("exp", maths::exp as fn(f32) -> f32), ("sigmoid", maths::sigmoid), ("tanh", maths::tanh)] {
        criterion.bench_function(&format!("maths/{name} of 1024, one lane"), |bencher| {
            bencher.iter(|| black_box(&inputs).iter().map(|&x| function(x)).sum::<f32>());
        });
    }
}

criterion_group!(benches, kernels_and_step, scalar_maths);
criterion_main!(benches);
