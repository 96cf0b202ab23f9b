//! Pointers that cannot be followed, structs that were never made, and lines in buffers of every size.

use crate::{DIMS, change, line, loaded, made, ok, read, refused, unmade};
use dreamstep_capi::{dreamstep_status as status, *};
use dreamstep_fixtures::{HUMANOID, synthetic};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

#[test]
fn pointers_that_cannot_be_followed_are_refused() {
    let mut c = made();
    let (observation, mut action, mut digest) = (synthetic::observation(&DIMS, 2, 0), [0.0_f32; 64], 0);
    let (from, to) = (observation.as_ptr(), action.as_mut_ptr());
    let agent = &raw mut *c.agent;
    let null_pointer = |what: &str| refused(status::Null, format!("{what}: expected a pointer, found NULL"));
    let misaligned =
        |what: &str, n| refused(status::Misaligned, format!("{what}: expected an address that is a multiple of {n}"));
    assert_eq!(change!(dreamstep_agent_act(null_mut(), from, 21, to, 3)), null_pointer("agent"));
    assert_eq!(change!(dreamstep_agent_act(agent, null(), 21, to, 3)), null_pointer("observation"));
    assert_eq!(change!(dreamstep_agent_act(agent, from, 21, null_mut(), 3)), null_pointer("action"));
    assert_eq!(change!(dreamstep_agent_override_action(agent, null(), 3)), null_pointer("action"));
    assert_eq!(change!(dreamstep_agent_load_state(agent, null(), 3)), null_pointer("state"));
    assert_eq!(change!(dreamstep_agent_replace_model(agent, null())), null_pointer("model"));
    assert_eq!(read!(dreamstep_agent_digest(agent, null_mut())), status::Null);
    assert_eq!(read!(dreamstep_agent_info(agent, null_mut())), status::Null);
    assert_eq!(read!(dreamstep_agent_digest(null(), &mut digest)), status::Null);

    let mut model = unmade::<dreamstep_model>();
    let (file, len) = (c.file.as_ptr(), c.file.len());
    assert_eq!(change!(dreamstep_model_load(&mut *model, null(), 0, -1)), null_pointer("model file"));
    assert_eq!(change!(dreamstep_model_load(null_mut(), file, len, -1)), null_pointer("model"));
    assert_eq!(change!(dreamstep_model_load(&mut *model, file, len, -1)), ok());
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, null_mut(), 9)), null_pointer("memory"));
    assert_eq!(change!(dreamstep_model_check_state(null_mut(), null(), 0, null_mut())), null_pointer("model"));
    let (mut other, mut dreams) = (unmade::<dreamstep_agent>(), unmade::<dreamstep_dreams>());
    assert_eq!(change!(dreamstep_agent_new(&mut *other, &*model, null_mut(), 9)), null_pointer("memory"));
    assert_eq!(change!(dreamstep_agent_new(&mut *other, null(), to, 64)), null_pointer("model"));
    assert_eq!(change!(dreamstep_dreams_new(&mut *dreams, &*model, null_mut(), 9, 1, null())), null_pointer("memory"));

    let off = |at: *const f32| at.wrapping_byte_add(2);
    assert_eq!(change!(dreamstep_agent_act(agent, off(from), 20, to, 3)), misaligned("observation", 4));
    assert_eq!(change!(dreamstep_agent_act(agent, from, 21, off(to).cast_mut(), 3)), misaligned("action", 4));
    assert_eq!(change!(dreamstep_agent_surprise(agent, off(to).cast_mut())), misaligned("surprise", 4));
    assert_eq!(change!(dreamstep_agent_predict(agent, off(to).cast_mut(), null_mut())), misaligned("reward", 4));
    let wanted = change!(dreamstep_agent_predict(agent, null_mut(), off(to).cast_mut()));
    assert_eq!(wanted, misaligned("terminal probability", 4));
    assert_eq!(change!(dreamstep_agent_advance(agent.wrapping_byte_add(4))), misaligned("agent", 8));
    assert_eq!(read!(dreamstep_agent_digest(agent, (&raw mut digest).wrapping_byte_add(4))), status::Misaligned);
    let options = to.cast::<dreamstep_dream_options>().wrapping_byte_add(4).cast_const();
    let found = change!(dreamstep_dreams_new(&mut *dreams, &*model, to, 64, 1, options));
    assert_eq!(found, misaligned("options", 8));

    let too_long = format!("observation: {} values do not fit into memory", usize::MAX);
    assert_eq!(change!(dreamstep_agent_act(agent, from, usize::MAX, to, 3)), refused(status::Argument, too_long));

    let overlap = refused(status::Overlap, "observation and action: expected separate memory, found an overlap");
    assert_eq!(change!(dreamstep_agent_act(agent, to, 21, to.wrapping_add(20), 3)), overlap);
    assert_eq!(change!(dreamstep_agent_step(agent, to.wrapping_add(2), 21, to, 3)), overlap);
    assert_eq!(change!(dreamstep_agent_peek(agent, to.wrapping_add(2), 21, to, 3)), overlap);
    assert_eq!(change!(dreamstep_agent_act(agent, to.wrapping_add(3), 21, to, 3)), ok());
    assert_eq!(change!(dreamstep_agent_act(agent, to, 21, to.wrapping_add(21), 3)), ok());
}

#[test]
fn a_struct_that_was_never_made_is_refused() {
    let (mut agent, mut dreams) = (unmade::<dreamstep_agent>(), unmade::<dreamstep_dreams>());
    let mut model = unmade::<dreamstep_model>();
    let not_made = |what| refused(status::NotMade, format!("{what}: expected one that was made, found none"));
    assert_eq!(change!(dreamstep_agent_advance(&mut *agent)), not_made("agent"));
    assert_eq!(change!(dreamstep_dreams_act(&mut *dreams)), not_made("dreams"));
    assert_eq!(read!(dreamstep_agent_digest(&*agent, null_mut())), status::NotMade);
    assert_eq!(read!(dreamstep_dreams_digest(&*dreams, 0, null_mut())), status::NotMade);
    assert_eq!(read!(dreamstep_model_info(&*model, null_mut())), status::NotMade);
    let mut memory = [0.0_f32; 8];
    assert_eq!(change!(dreamstep_model_self_test(&mut *model, memory.as_mut_ptr(), 8)), not_made("model"));
    assert_eq!(change!(dreamstep_agent_new(&mut *agent, &*model, memory.as_mut_ptr(), 8)), not_made("model"));
    // An agent is no model, whatever its bytes; it stays as it is.
    let mut c = made();
    let cast = (&raw mut *c.agent).cast::<dreamstep_model>();
    assert_eq!(change!(dreamstep_model_self_test(cast, memory.as_mut_ptr(), 8)), not_made("model"));
    c.step(0);
    // What was made once and then failed is none, and says why.
    let small = "agent memory: expected at least ";
    let (number, why) = change!(dreamstep_agent_new(&mut *c.agent, &*c.model, memory.as_mut_ptr(), 8));
    assert!(number == status::Memory && why.starts_with(small) && why.ends_with("found 8"), "{why}");
    assert_eq!(change!(dreamstep_agent_advance(&mut *c.agent)), refused(status::NotMade, why));
}

#[test]
fn a_line_stays_until_the_next_refusal() {
    let mut c = made();
    assert_eq!(line(&*c.agent), "");
    let order = "advance: expected an act before it, found none since the last advance or reset";
    assert_eq!(change!(dreamstep_agent_advance(&mut *c.agent)), refused(status::Order, order));
    c.step(0);
    assert_eq!(line(&*c.agent), order);
    let why = "action: expected a pointer, found NULL";
    assert_eq!(change!(dreamstep_agent_override_action(&mut *c.agent, null(), 3)), refused(status::Null, why));
    assert_eq!(line(&*c.agent), why);
    // What is made anew has none.
    let (memory, len) = (c.memory.as_mut_ptr(), c.memory.len());
    assert_eq!(change!(dreamstep_agent_new(&mut *c.agent, &*c.model, memory, len)), ok());
    assert_eq!(line(&*c.agent), "");
}

#[test]
fn lines_are_cut_between_two_characters_and_always_end() {
    // A file whose format is no format.
    let header = r#"{"__metadata__":{"dreamstep.format":"päöü€"}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    let mut model = unmade::<dreamstep_model>();
    let (number, whole) = change!(dreamstep_model_load(&mut *model, file.as_ptr(), file.len(), -1));
    assert_eq!((number, &*whole), (status::NotAnAgent, "metadata `dreamstep.format`: expected packed-3, found `päöü€`"));
    for len in 0..=80 {
        let mut buffer = [0x55_u8; 81];
        let at = buffer.as_mut_ptr().cast();
        let found = read!(dreamstep_model_error(&*model, at, len));
        assert!(buffer[len..].iter().all(|&byte| byte == 0x55), "writes past {len} bytes");
        // SAFETY: never NULL, and it ends in NUL.
        let text = unsafe { CStr::from_ptr(found) }.to_str().unwrap();
        let end = (0..len.max(1)).rev().find(|&end| end >= whole.len() || whole.is_char_boundary(end)).unwrap();
        assert_eq!(text, &whole[..end.min(whole.len())]);
        assert_eq!(len > 0, found == at.cast_const());
    }
    // No buffer, whatever its length.
    for len in [0, 99] {
        let found = read!(dreamstep_model_error(&*model, null_mut(), len));
        // SAFETY: as above.
        assert!(unsafe { CStr::from_ptr(found) }.is_empty());
    }
    let model = loaded(HUMANOID);
    assert_eq!(line(&*model), "");
}
