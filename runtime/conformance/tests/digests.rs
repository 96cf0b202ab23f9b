//! Does every back end of this processor print the committed table? Other targets are held to the same table by `make cross`.

use dreamstep_conformance::{MEMORY, run};
use dreamstep_runtime::Backend;
use std::collections::BTreeMap;

const TABLE: &str = include_str!("../digests.txt");

#[test]
fn every_back_end_prints_the_committed_table() {
    let lines = || TABLE.lines().filter(|line| !line.starts_with('#'));
    let table: BTreeMap<&str, &str> =
        lines().map(|line| line.rsplit_once(' ').expect("agent precision check digest")).collect();
    assert_eq!(table.len(), lines().count(), "digests.txt: a line stands there twice");
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let mut printed = 0;
        run(backend, &mut vec![f32::NAN; MEMORY], &mut |agent, precision, check, digest| {
            let name = format!("{agent} {precision} {check}");
            let expected = table.get(name.as_str()).unwrap_or_else(|| panic!("digests.txt has no line `{name}`"));
            assert_eq!(format!("{digest:016x}"), *expected, "{name} on {}", backend.name());
            printed += 1;
        });
        // Without the feature `humanoid`, a part of the table.
        assert!(printed == table.len() || !cfg!(feature = "humanoid"), "expected {} lines, found {printed}", table.len());
    }
}
