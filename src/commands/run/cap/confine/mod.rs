//! Puts the calling process under the cap: the best kind that is to be had here.
//!
//! 1. Inside another place, or in a unit that systemd delegated to us: a cgroup of our own there ([`cgroup2`]). A scope would
//!    be beside what encloses us, and escape its limits.
//! 2. Where systemd runs: a scope ([`scope`]).
//! 3. Where it does not, and in containers: a cgroup of our own ([`cgroup2`]).
//! 4. Where v1 has the memory controller: a cgroup there ([`cgroup1`]).
//! 5. None of these: the parent has to watch.

mod bus;
mod cgroup1;
mod cgroup2;
mod manager;
mod scope;

use crate::host::Roots;

use super::tree::Here;
use super::{Kind, Limits, Place, Refusal, Wishes};

/// Puts the calling process, and whatever it starts from now on, under the limits. To be called in a freshly forked process
/// of one thread, whose parent is a subreaper: it may be left with open descriptors, all of which close at an exec.
///
/// # Errors
/// With [`Wishes::require`], when the kernel can't be had to enforce the limits; it says why, for each kind.
pub fn confine(limits: &Limits, wishes: &Wishes<'_>) -> Result<Place, Refusal> {
    let roots = Roots::default();
    let here = Here::look(&roots);
    let why = match enforced(&roots, &here, limits, wishes) {
        Ok(place) => return Ok(place),
        Err(why) => why,
    };
    if wishes.require {
        return Err(Refusal(format!("no cap that the kernel enforces is to be had here: {}", why.join("; "))));
    }
    Ok(Place {
        kind: Kind::Watched,
        dir: None,
        pids_dir: None,
        unit: None,
        keeper: None,
        limits: *limits,
        tightest: None,
        remarks: why,
    })
}

/// The best cap of the kernel's, or why each kind is not to be had.
fn enforced(roots: &Roots, here: &Here, limits: &Limits, wishes: &Wishes<'_>) -> Result<Place, Vec<String>> {
    let mut why = Vec::new();
    let mut tried = |result: Result<Place, Refusal>| result.map_err(|Refusal(reason)| why.push(reason)).ok();
    let place = here.v2.as_ref().and_then(|own| {
        let inside = cgroup2::boundary(own, here.booted);
        let nested = inside.as_ref().is_some_and(cgroup2::is_place);
        let by_hand = || Some(cgroup2::confine(own, inside.as_ref()?, roots, limits, wishes));
        let place = by_hand().and_then(&mut tried);
        // Beside the outer place it would escape the outer cap.
        place.or_else(|| {
            (here.booted && !nested).then(|| scope::confine(own, roots, limits, wishes)).and_then(&mut tried)
        })
    });
    let place = place.or_else(|| {
        let own = here.memory_v1.as_ref()?;
        tried(cgroup1::confine(own, here.pids_v1.as_ref(), roots, limits, wishes))
    });
    place.ok_or_else(|| {
        if why.is_empty() {
            why.push("there is no cgroup hierarchy with the memory controller".into());
        }
        why
    })
}
