//! Many runs; the last seed printed is the one that failed: `DAYPASS_SEED=n cargo test -p daypass-testkit` runs it alone.

#![expect(clippy::print_stdout, reason = "a failed run is known by its seed")]

use daypass_testkit::simulation::{Seen, Simulation};

const RUNS: u64 = 150;
const STEPS: u32 = 1_500;

fn run(seed: u64) -> Seen {
    println!("DAYPASS_SEED={seed}");
    let (seen, report) = Simulation::new(seed).run(STEPS);
    let findings: Vec<String> = report.findings.iter().take(5).map(ToString::to_string).collect();
    assert!(report.is_clean(), "the auditor found, with DAYPASS_SEED={seed}: {findings:#?}");
    seen
}

/// I1 to I11, I13, I14, I18 over whole runs: the checks of the simulation, and the auditor over its logs.
#[test]
fn invariants_hold_in_every_simulated_run() {
    if let Some(seed) = std::env::var("DAYPASS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("{:?}", run(seed));
        return;
    }
    let mut all = Seen::default();
    for seed in 0..RUNS {
        let seen = run(seed);
        all.ran += seen.ran;
        all.shown += seen.shown;
        all.opened += seen.opened;
        all.cut += seen.cut;
        all.held += seen.held;
        all.released += seen.released;
        all.unrecorded += seen.unrecorded;
        all.crashes += seen.crashes;
        all.grants += seen.grants;
    }
    println!("seeds 0 to {RUNS}: {all:?}");
    let rare = [all.cut, all.held, all.released, all.unrecorded, all.crashes, all.opened, all.grants];
    assert!(
        rare.iter().all(|count| *count > 20) && all.ran > 1_000 && all.shown > 1_000,
        "a hollow run: {all:?}"
    );
}

#[test]
fn one_seed_gives_one_run() {
    let (one, other) = (Simulation::new(7).run(600), Simulation::new(7).run(600));
    assert_eq!(one, other);
}
