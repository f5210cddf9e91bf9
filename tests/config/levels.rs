//! Thresholds that belong together.

use hogwatch::config::Amount::{Bytes, Percent};
use hogwatch::config::{Config, SwapMode};

use super::good;

const GIB: u64 = 1 << 30;

#[test]
fn defaults_give_way_to_what_was_written() {
    let memory = good("[memory]\nterm = \"2%\"").memory;
    assert_eq!((memory.warn, memory.term, memory.kill), (Percent(10.0), Percent(2.0), Percent(1.2)));
    // Equal would mean SIGKILL at once.
    assert_eq!(good("[memory]\nterm = \"3%\"").memory.kill, Percent(1.8));
    assert_eq!(good("[memory]\nterm = \"4%\"").memory.kill, Percent(3.0));
    let memory = good("[memory]\nterm = \"20%\"").memory;
    assert_eq!((memory.warn, memory.kill), (Percent(20.0), Percent(3.0)));
    assert_eq!(good("[swap]\nterm = \"4%\"").swap.kill, Percent(2.4));
    assert_eq!(good("[cgroup_limits]\nterm = \"1%\"").cgroup_limits.kill, Percent(0.6));
}

#[test]
fn equal_thresholds_are_the_admins_choice() {
    let memory = good("[memory]\nwarn = \"5%\"\nterm = \"5%\"\nkill = \"5%\"").memory;
    assert_eq!((memory.warn, memory.term, memory.kill), (Percent(5.0), Percent(5.0), Percent(5.0)));
    assert_eq!(good("[memory]\nkill = \"0%\"").memory.kill, Percent(0.0));
}

#[test]
fn a_size_beside_a_percent_waits_for_the_machine() {
    let config = good("[memory]\nterm = \"800 MiB\"");
    assert_eq!((config.memory.warn, config.memory.kill), (Percent(10.0), Percent(3.0)));

    // 3 % of 16 GiB is 491 MiB, below 800 MiB; 10 % is above.
    let mut fitting = config.clone();
    assert_eq!(fitting.fit(16 * GIB, 0), Vec::<String>::new());
    assert_eq!(fitting, config);

    let mut large = config.clone();
    let said = large.fit(64 * GIB, 0);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("memory.kill, 3%, is above memory.term, 800 MiB, on this machine"), "{said:?}");
    let Bytes(kill) = large.memory.kill else { panic!("{large:?}") };
    assert!(kill < 800 << 20 && kill > 400 << 20);

    let mut small = config.clone();
    let said = small.fit(4 * GIB, 0);
    assert!(said[0].starts_with("memory.warn, 10%, is below memory.term, 800 MiB"), "{said:?}");
    assert_eq!(small.memory.warn, Bytes(800 << 20));

    let mut tiny = config;
    let said = tiny.fit(GIB / 2, 0);
    assert!(
        said[0].starts_with("memory.term, 800 MiB, is more than this machine has (512 MiB): the default, 5%, "),
        "{said:?}"
    );
    assert_eq!(tiny.memory.term, Percent(5.0));
    let said = good("[memory]\nterm = \"800 MiB\"").fit(800 << 20, 0);
    assert!(said[0].starts_with("memory.term, 800 MiB, is all that this machine has (800 MiB): "), "{said:?}");
}

#[test]
fn swap_is_fitted_only_where_it_counts() {
    let config = good("[swap]\nmode = \"or\"\nterm = \"4 GiB\"\nkill = \"50%\"");
    assert_eq!(config.clone().fit(GIB, 0), Vec::<String>::new());
    let mut small = config.clone();
    let said = small.fit(GIB, 2 * GIB);
    assert!(said[0].starts_with("swap.term, 4 GiB, is more than this machine has (2.0 GiB): "), "{said:?}");
    assert_eq!(small.swap.term, Percent(10.0));
    assert_eq!(small.swap.kill, Percent(6.0));
    let mut and = config;
    and.swap.mode = SwapMode::And;
    assert_eq!(and.fit(GIB, 2 * GIB), Vec::<String>::new());
}

#[test]
fn the_defaults_fit_every_machine() {
    for mem in [1, GIB / 4, GIB, 24 * GIB, 4096 * GIB] {
        for swap in [0, 1, GIB] {
            let mut config = Config::default();
            assert_eq!(config.fit(mem, swap), Vec::<String>::new());
            assert_eq!(config, Config::default());
        }
    }
}
