//! States that leave the process.

use crate::{DIMS, GRU, OTHER, change, loaded, made, made_of, ok, read, refused, unmade, with_rust};
use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_core::precision::Precision;
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Model, memory_len};
use std::ptr::{null, null_mut};

#[test]
fn a_state_leaves_and_comes_back() {
    let mut c = made();
    (0..3).for_each(|t| drop(c.step(t)));
    c.act(3);
    let (saved, mut same) = (c.save(), false);
    with_rust(&c.file, |rust| {
        rust.load_state(&saved).unwrap();
        assert_eq!(rust.tick(), 3);
        assert!(rust.has_acted());
    });
    c.advance();
    let later: Vec<_> = (4..6).map(|t| (c.step(t), c.digest())).collect();

    let (at, len) = (saved.as_ptr(), saved.len());
    let mut fresh = made();
    assert_eq!(change!(dreamstep_model_check_state(&mut *fresh.model, at, len, &mut same)), ok());
    assert!(same);
    assert_eq!(change!(dreamstep_agent_load_state(&mut *fresh.agent, at, len)), ok());
    fresh.advance();
    assert_eq!((4..6).map(|t| (fresh.step(t), fresh.digest())).collect::<Vec<_>>(), later);
}

#[test]
fn another_model_of_the_same_sizes_may_adopt_a_state_not_load_it() {
    let mut c = made();
    c.step(0);
    let saved = c.save();
    let (at, len, mut same) = (saved.as_ptr(), saved.len(), true);
    let file = synthetic::in_precision(&c.file, Precision::F16);
    let (mut narrow, mut memory) = (loaded(&file), vec![0.0; memory_len(&DIMS)]);
    let mut agent = unmade::<dreamstep_agent>();
    assert_eq!(change!(dreamstep_agent_new(&mut *agent, &*narrow, memory.as_mut_ptr(), memory.len())), ok());
    let rust = Model::load(&file).unwrap().fingerprint();
    let expected = Model::load(&c.file).unwrap().fingerprint();
    let message = format!("state: expected one of model {rust:016x}, found one of model {expected:016x}");
    assert_eq!(change!(dreamstep_agent_load_state(&mut *agent, at, len)), refused(status::OtherModel, message));
    assert_eq!(change!(dreamstep_model_check_state(&mut *narrow, at, len, &mut same)), ok());
    assert!(!same);
    same = true;
    assert_eq!(change!(dreamstep_agent_adopt_state(&mut *agent, at, len, &mut same)), ok());
    assert!(!same);
    assert_eq!(change!(dreamstep_agent_adopt_state(&mut *agent, at, len, null_mut())), ok());

    let mut other = loaded(&synthetic::agent(&OTHER, 1));
    let message = "state: expected observation size 22, found 21";
    assert_eq!(change!(dreamstep_model_check_state(&mut *other, at, len, null_mut())), refused(status::Dims, message));
    assert_eq!(change!(dreamstep_model_check_state(&mut *other, null(), 0, null_mut())), {
        refused(status::Null, "state: expected a pointer, found NULL")
    });
}

#[test]
fn what_is_no_state_is_refused_and_changes_nothing() {
    let mut c = made();
    c.step(0);
    let saved = c.save();
    let (at, len) = (saved.as_ptr(), saved.len());
    let short = format!("state: expected {len} bytes, found {}", len - 1);
    assert_eq!(change!(dreamstep_agent_load_state(&mut *c.agent, at, len - 1)), refused(status::Length, &short));
    assert_eq!(change!(dreamstep_agent_adopt_state(&mut *c.agent, at, len - 1, null_mut())), {
        refused(status::Length, &short)
    });
    let mut bytes = saved.clone();
    assert_eq!(read!(dreamstep_agent_save_state(&*c.agent, bytes.as_mut_ptr(), len - 1)), status::Length);
    bytes[70] ^= 1;
    let damaged = Model::load(&c.file).unwrap().check_state(&bytes).unwrap_err().to_string();
    assert!(damaged.starts_with("state: damaged: expected digest "), "{damaged}");
    assert_eq!(change!(dreamstep_agent_load_state(&mut *c.agent, bytes.as_ptr(), len)), refused(status::State, damaged));
    assert_eq!(c.save(), saved);
}

#[test]
fn memories_are_not_mixed() {
    let [mut lstm, mut gru] = [DIMS, GRU].map(made_of);
    (0..3).for_each(|t| drop((lstm.step(t), gru.step(t))));
    let (states, digests) = ([lstm.save(), gru.save()], [lstm.digest(), gru.digest()]);
    assert_eq!([states[0].len(), states[1].len()], [268, 192]);
    for (into, from, names) in [(&mut lstm, &states[1], ["lstm", "gru"]), (&mut gru, &states[0], ["gru", "lstm"])] {
        let [expected, found] = names;
        let message = format!("state: expected one of an agent with memory {expected}, found {found}");
        let (at, len) = (from.as_ptr(), from.len());
        assert_eq!(change!(dreamstep_agent_load_state(&mut *into.agent, at, len)), refused(status::Dims, &message));
        let found = change!(dreamstep_model_check_state(&mut *into.model, at, len, null_mut()));
        assert_eq!(found, refused(status::Dims, &message));
    }
    assert_eq!([lstm.digest(), gru.digest()], digests);
    assert_eq!(change!(dreamstep_agent_load_state(&mut *gru.agent, states[1].as_ptr(), 192)), ok());
}
