//! A simulator of machines in trouble, deterministic from one seed, with the engine in the loop and every promise of the
//! design checked at every step.
//!
//! `HOGWATCH_SIM_SEED=n` runs one seed and tells what happens; `HOGWATCH_SIM_SEEDS=n` runs so many, for a soak.

mod checks;
mod driver;
mod lens;
mod oracle;
mod plan;
mod rng;
mod world;

use driver::{Lists, Run, Stats};

/// Seeds of an ordinary run.
const SEEDS: u64 = 2000;
/// Threads at most.
const WORKERS: usize = 4;
/// Failing seeds that are told.
const SHOWN: usize = 5;

#[test]
fn machines_in_trouble() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse().unwrap_or_else(|e| panic!("{name}: {e}")));
    let one: Option<u64> = number("HOGWATCH_SIM_SEED");
    let seeds = one.map_or(0..number("HOGWATCH_SIM_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(WORKERS));
    let shares: Vec<Share> = std::thread::scope(|scope| {
        let each = (0..workers).map(|n| {
            scope.spawn({
                let seeds = seeds.clone();
                move || share(seeds.skip(n).step_by(workers), one.is_some())
            })
        });
        each.collect::<Vec<_>>().into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut all = Stats::default();
    shares.iter().for_each(|share| all.add(&share.stats));
    let mut failures: Vec<_> = shares.into_iter().flat_map(|share| share.failures).collect();
    failures.sort_unstable();
    let told: Vec<&str> = failures.iter().take(SHOWN).map(|(_, told)| told.as_str()).collect();
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), told.join("\n"));
    println!("{all:?}");
    if one.is_none() {
        all.assert_that_it_all_happened();
    }
}

/// What one worker found.
#[derive(Default)]
struct Share {
    stats: Stats,
    failures: Vec<(u64, String)>,
}

fn share(seeds: impl Iterator<Item = u64>, tell: bool) -> Share {
    let mut lists = Lists::default();
    let mut share = Share::default();
    for seed in seeds {
        match Run::new(seed, tell, &mut lists).run() {
            Ok(stats) => share.stats.add(&stats),
            Err((at, why)) => share.failures.push((
                seed,
                format!(
                    "seed {seed} fails after {at} ms: {why}\n  reproduce: HOGWATCH_SIM_SEED={seed} cargo test --test simulator -- --nocapture"
                ),
            )),
        }
    }
    share
}
