//! Criterion benches of everything a tick is made of: every layer and kernel, `act`, `advance`, `step`, ticks of dreams in batches, and
//! reading a model; for every precision and back end of this processor. And of the portable maths, one lane.
//!
//! For looking at one thing while changing it: `cargo bench -p dreamstep-bench --bench runtime -- 'lstm gates.*avx2'` (or `'gru gates.*avx2'`, `'step/.*gru'`). What is recorded are
//! the ratios of the programs beside this.

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use dreamstep_bench::agents::{self, Size};
use dreamstep_core::maths;
use dreamstep_core::obs::{Filter, Image};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Agent, Backend, DreamBatch, DreamOptions, DreamStart, MemoryCell, Model, Part, Termination, dreams_memory_len,
    memory_len,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Calls `bench` with a name's end and a model, for every precision and back end; then the same with a GRU.
fn each_model(mut bench: impl FnMut(&str, &[u8], &Model<'_>)) {
    for (cell, end) in [(MemoryCell::Lstm, ""), (MemoryCell::Gru, "/gru")] {
        for file in Size::Humanoid.precisions_with(cell) {
            for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
                let model = Model::load_with(&file, backend).expect("a packed agent, and a back end that runs");
                bench(&format!("{}/{}{end}", model.settings().precision.name(), backend.name()), &file, &model);
            }
        }
    }
}

fn parts(criterion: &mut Criterion) {
    each_model(|which, _, model| {
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(*model, &mut memory).expect("enough memory");
        // What is not the memory's is the same with a GRU.
        let cell = model.dims().cell().expect("an agent with an M");
        let gru = cell == MemoryCell::Gru;
        for part in Part::ALL.into_iter().filter(|part| !gru || [Part::Gates, Part::Cell].contains(part)) {
            // What a real tick leaves behind.
            agent
                .step(&synthetic::observation(model.dims(), 0, 0), &mut vec![0.0; model.dims().action_len()])
                .expect("a step");
            let name = format!("{}/{which}", part.name(cell));
            criterion.bench_function(&name, |bencher| bencher.iter(|| agent.run(black_box(part))));
        }
    });
}

fn ticks(criterion: &mut Criterion) {
    each_model(|which, _, model| {
        let mut memory = vec![0.0; memory_len(model.dims())];
        let mut agent = Agent::new(*model, &mut memory).expect("enough memory");
        let observation = synthetic::observation(model.dims(), 0, 0);
        let mut action = vec![0.0; model.dims().action_len()];
        criterion.bench_function(&format!("act/{which}"), |bencher| {
            bencher.iter(|| agent.act(black_box(&observation), &mut action));
        });
        // An advance needs an act before it, which is not timed.
        let advances = |bencher: &mut Bencher<'_>| {
            bencher.iter_custom(|calls| {
                let mut spent = Duration::ZERO;
                for _ in 0..calls {
                    agent.act(&observation, &mut action).expect("a finite observation");
                    let start = Instant::now();
                    agent.advance().expect("an act before it");
                    spent += start.elapsed();
                }
                spent
            });
        };
        criterion.bench_function(&format!("advance/{which}"), advances);
        criterion.bench_function(&format!("step/{which}"), |bencher| {
            bencher.iter(|| agent.step(black_box(&observation), &mut action));
        });
    });
}

fn pictures(criterion: &mut Criterion) {
    let image = Image::plain([96, 96, 3]).cropped([0, 0, 84, 96]).resized([64, 64], Filter::Bilinear);
    for file in agents::pictures(image) {
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let model = Model::load_with(&file, backend).expect("a packed agent, and a back end that runs");
            let mut memory = vec![0.0; memory_len(model.dims())];
            let mut agent = Agent::new(model, &mut memory).expect("enough memory");
            let frame = synthetic::picture(0, 0, image.frame_len());
            let (stride, mut action) = (96 * 3, vec![0.0; model.dims().action_len()]);
            let name = format!("act on a picture/{}/{}", model.settings().precision.name(), backend.name());
            criterion.bench_function(&name, |bencher| {
                bencher.iter(|| agent.act_image(black_box(&frame), stride, &mut action));
            });
        }
    }
}

fn dreams(criterion: &mut Criterion) {
    each_model(|which, _, model| {
        let dims = model.dims();
        let latent = vec![0.25; dims.latent_len()];
        for count in [1, 7, 64] {
            let mut memory = vec![0.0; dreams_memory_len(dims, count)];
            let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
            let mut dreams = DreamBatch::new(*model, &mut memory, count, options).expect("a head, and enough memory");
            for index in 0..count {
                dreams.start(index, index as u32, DreamStart { latent: &latent, state: None }).expect("a finite latent");
            }
            let name = format!("tick of {count} dreams/{which}");
            criterion.bench_function(&name, |bencher| bencher.iter(|| black_box(dreams.step())));
        }
    });
}

fn load(criterion: &mut Criterion) {
    each_model(|which, file, model| {
        let backend = model.backend();
        criterion.bench_function(&format!("load/{which}"), |bencher| {
            bencher.iter(|| Model::load_with(black_box(file), backend).map(|model| model.fingerprint()));
        });
    });
}

fn scalar_maths(criterion: &mut Criterion) {
    let inputs: Vec<f32> = (0..1024).map(|i| (i as f32 + 0.5) / 1024.0).collect();
    macro_rules! bench {
        ($($name:literal = $function:path,)*) => {$(
            criterion.bench_function(concat!($name, " of 1024/one lane"), |bencher| {
                bencher.iter(|| black_box(&inputs).iter().map(|&x| $function(x)).sum::<f32>());
            });
        )*};
    }
    bench! {
        "exp" = maths::exp,
        "sigmoid" = maths::sigmoid,
        "tanh" = maths::tanh,
        "ln" = maths::ln,
        "normal quantile" = maths::normal_quantile,
    }
}

/// There are hundreds: a second each is enough.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
}

criterion_group! { name = benches; config = short(); targets = parts, ticks, pictures, dreams, load, scalar_maths }
criterion_main!(benches);
