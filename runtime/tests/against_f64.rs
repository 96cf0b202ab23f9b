//! Does the runtime compute the network that the checkpoint's names say? The oracle is written differently: row-major weights,
//! binary64, one plain loop per formula, the standard library's transcendental functions.

use dreamstep_core::names::checkpoint as names;
use dreamstep_core::pack::Tensors;
use dreamstep_core::schema::{Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Dims, Model, memory_len};

/// `W·x + b`.
fn affine(tensors: &Tensors, weight: &str, bias: &str, x: &[f64]) -> Vec<f64> {
    let ((shape, w), (_, b)) = (&tensors[weight], &tensors[bias]);
    assert_eq!(shape[1], x.len(), "{weight}");
    let dot = |row: &[f32]| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
    w.chunks(shape[1]).zip(b).map(|(row, &b)| dot(row) + f64::from(b)).collect()
}

struct Oracle {
    tensors: Tensors,
    settings: Settings,
    h: Vec<f64>,
    c: Vec<f64>,
}

impl Oracle {
    fn encode(&self, observation: &[f32]) -> Vec<f64> {
        let statistic = |name: &str, i: usize| f64::from(self.tensors[name].1[i]);
        let whiten = |(i, &o): (usize, &f32)| {
            let white = (f64::from(o) - statistic(names::NORMALIZER_MEAN, i)) * statistic(names::NORMALIZER_INV_STD, i);
            white.clamp(-f64::from(self.settings.obs_clip), f64::from(self.settings.obs_clip))
        };
        let mut x: Vec<f64> = observation.iter().enumerate().map(whiten).collect();
        for layer in 0..2 {
            x = affine(&self.tensors, names::ENCODER_WEIGHT[layer], names::ENCODER_BIAS[layer], &x);
            x.iter_mut().for_each(|v| *v = v.max(0.0));
        }
        x = affine(&self.tensors, names::ENCODER_WEIGHT[2], names::ENCODER_BIAS[2], &x);
        x.truncate(self.settings.dims.latent);
        x
    }

    /// Returns the action; leaves the new state and gives the head's outputs.
    fn step(&mut self, observation: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let z = self.encode(observation);
        let features = [z.as_slice(), &self.h].concat();
        let mut u = affine(&self.tensors, names::FC_WEIGHT, names::FC_BIAS, &features);
        for v in &mut u {
            *v = if self.settings.squash == Squash::Tanh { v.tanh() } else { v.clamp(-1.0, 1.0) };
        }
        let ih = affine(&self.tensors, names::RNN_WEIGHT_IH, names::RNN_BIAS_IH, &[u.as_slice(), &z].concat());
        let hh = affine(&self.tensors, names::RNN_WEIGHT_HH, names::RNN_BIAS_HH, &self.h);
        let n = self.h.len();
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        for unit in 0..n {
            let gate = |g: usize| ih[g * n + unit] + hh[g * n + unit];
            self.c[unit] = sigmoid(gate(1)) * self.c[unit] + sigmoid(gate(0)) * gate(2).tanh();
            self.h[unit] = sigmoid(gate(3)) * self.c[unit].tanh();
        }
        (u.iter().map(|v| 0.4 * v).collect(), affine(&self.tensors, names::GMM_WEIGHT, names::GMM_BIAS, &self.h))
    }
}

fn worst(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(&f, e)| (f64::from(f) - e).abs() / e.abs().max(1.0)).fold(0.0, f64::max)
}

#[test]
fn follows_the_formulas_over_an_episode() {
    let odd = Dims { obs: 5, action: 1, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] };
    for (dims, squash) in [(odd, Squash::Tanh), (Dims::HUMANOID, Squash::Clamp)] {
        let settings = Settings { squash, target: Target::Next, ..synthetic::settings(&dims) };
        let file = synthetic::agent_with(&settings, 3);
        let model = Model::load(&file).unwrap();
        let mut memory = vec![0.0; memory_len(&dims)];
        let mut agent = Agent::new(&model, &mut memory).unwrap();
        let n = dims.hidden;
        let mut oracle = Oracle { tensors: synthetic::tensors(&dims, 3), settings, h: vec![0.0; n], c: vec![0.0; n] };
        let mut action = vec![0.0; dims.action];
        for t in 0..200 {
            let observation = synthetic::observation(&dims, 4, t);
            agent.step(&observation, &mut action).unwrap();
            let (expected, head) = oracle.step(&observation);
            let errors = [worst(&action, &expected), worst(agent.hidden(), &oracle.h), worst(agent.cell(), &oracle.c)];
            assert!(errors.iter().all(|&e| e < 1e-4), "step {t}: relative errors of action, h, c: {errors:?}");

            let prediction = agent.predict().unwrap();
            let (k, z) = (dims.mixtures, dims.latent);
            let exp: Vec<f64> = head[2 * k * z..][..k].iter().map(|v| v.exp()).collect();
            for component in 0..k {
                let weight = exp[component] / exp.iter().sum::<f64>();
                assert!((f64::from(prediction.weight(component)) - weight).abs() < 1e-4);
                for i in 0..z {
                    let sigma = head[k * z + component * z + i].max(-5.0).exp();
                    assert!((f64::from(prediction.mean(component, i)) - head[component * z + i]).abs() < 1e-4);
                    assert!((f64::from(prediction.sigma(component, i)) - sigma).abs() < 1e-4 * sigma.max(1.0));
                }
            }
            let terminal = 1.0 / (1.0 + (-head[(2 * z + 1) * k + 1]).exp());
            assert!((f64::from(prediction.reward()) - head[(2 * z + 1) * k] - 0.5).abs() < 1e-4);
            assert!((f64::from(prediction.terminal_probability()) - terminal).abs() < 1e-4);
        }
    }
}
