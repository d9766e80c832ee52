//! Files that change by themselves.

use delta_tests::faults::decay::{self, Decay};
use delta_tests::faults::rot::{self, Rot};
use delta_tests::random::Random;

use crate::support::PROGRAM;

#[test]
fn damage_to_files_of_fs_is_refused_and_costs_no_other_entity() {
    for sealed in [true, false] {
        let seed = Random::seed();
        println!("many more: cargo run -p delta-tests --bin faults -- damage --seed {seed}");
        let plan = Rot { program: PROGRAM.into(), sealed, entities: 300, damages: 200, batch: 100, seed };
        let done = rot::run(&plan, |_| {}).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        assert_eq!(done, 200);
    }
}

#[test]
fn damage_to_files_of_embedded_is_refused_or_harmless() {
    let seed = Random::seed();
    println!("many more: cargo run -p delta-tests --bin faults -- damage --storage embedded --seed {seed}");
    let plan = Decay { program: PROGRAM.into(), entities: 400, damages: 12, first: 0, jobs: 2, seed };
    let seen = decay::run(&plan, |_| {}).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    println!("{seen:?}");
    assert_eq!(seen.refused + seen.in_part + seen.harmless, 12);
}
